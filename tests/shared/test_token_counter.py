import json
import shutil
from pathlib import Path

import pytest
from fastokens import Tokenizer as FastTokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.shared import token_counter
from stages.shared.token_counter import DifferentTokensError, TokenCounter

SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "tokenizer"
HOSTILE = [
    "",
    " ",
    "\n",
    "\r\n\r\n",
    "a\r\nb\rc\n",
    "\t\t  x  \n\n\n   y",
    "caf\u00e9 and cafe\u0301",
    "\u212b \u00c5 A\u030a \ufb01 \u1100\u1161\u11a8 \uac01",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u202eabc\u202c",
    "\u4f60\u597d\u4e16\u754c\u3053\u3093\u306b\u3061\u306f",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    "<|im_end|><|im_end|> <|im_end|>x<|im_end|>",
    "<|im_end",
    "<|endoftext|>",
    "<think>\n</think>",
    "\x00\x01\x7f\u0080\ufeff\ufffd\uffff\u00a0\u2028",
    "1234567890 12 3.14e-10 0x1F",
    "it's WE'LL DON'T i'M",
    "x" * 5000,
    "def f(x):\n    return x  # \u00b5\n" * 50,
]


@pytest.fixture(scope="module")
def reference() -> TokenCounter:
    return TokenCounter(SAMPLE, fast=False)


@pytest.fixture(scope="module")
def fast() -> TokenCounter:
    return TokenCounter(SAMPLE)


def test_hostile_texts_have_as_many_tokens_as_with_transformers(reference: TokenCounter) -> None:
    from transformers import AutoTokenizer  # noqa: PLC0415  # takes seconds

    tokenizer = AutoTokenizer.from_pretrained(SAMPLE)
    expected = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in HOSTILE]

    assert expected[0] == 0
    assert TokenCounter(SAMPLE).count(HOSTILE) == expected
    assert reference.count(HOSTILE) == expected


def test_a_special_token_that_is_written_out_is_one_token() -> None:
    assert TokenCounter(SAMPLE).count(["<|im_end|>" * 3, "<|im_start|><|im_end|>"]) == [3, 2]


@given(st.lists(st.text() | st.sampled_from(HOSTILE), max_size=5))
@settings(deadline=None)
def test_any_texts_have_as_many_tokens_as_the_reference_counts(
    fast: TokenCounter, reference: TokenCounter, texts: list[str]
) -> None:
    assert fast.count(texts) == reference.count(texts)


def test_texts_that_come_in_several_batches_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{i} " * (i % 7) for i in range(1200)]
    expected = TokenCounter(SAMPLE, fast=False).count(texts)
    monkeypatch.setattr(token_counter, "_BATCH_CHARACTERS", 100)

    counter = TokenCounter(SAMPLE)
    assert [*counter.count(texts[:501]), *counter.count(texts[501:])] == expected


def test_no_texts_have_no_counts() -> None:
    assert TokenCounter(SAMPLE).count([]) == []


@pytest.fixture
def other_fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast tokenizer reads a file without the last merges, as if it had a fault with rare words."""
    model = json.loads((SAMPLE / "tokenizer.json").read_text())
    model["model"]["merges"] = [merge for merge in model["model"]["merges"] if "".join(merge) != "\u0120return"]
    other = tmp_path / "tokenizer.json"
    other.write_text(json.dumps(model))

    class Faulty:
        @staticmethod
        def from_file(_: str) -> FastTokenizer:
            return FastTokenizer.from_file(str(other))

    monkeypatch.setattr(token_counter, "FastTokenizer", Faulty)


@pytest.mark.usefixtures("other_fast")
def test_other_tokens_of_a_checked_text_are_an_error() -> None:
    with pytest.raises(DifferentTokensError):
        TokenCounter(SAMPLE).count([" return"])


@pytest.mark.usefixtures("other_fast")
def test_one_of_every_500_texts_is_checked_over_all_calls() -> None:
    counter = TokenCounter(SAMPLE)
    counter.count(["x", *[" return"] * 299])
    counter.count([" return"] * 200)

    with pytest.raises(DifferentTokensError):
        counter.count([" return"])


def test_truncation_and_padding_of_the_file_are_not_applied(tmp_path: Path) -> None:
    model = json.loads((SAMPLE / "tokenizer.json").read_text())
    model["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    model["padding"] = {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "<|endoftext|>",
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(model))
    texts = ["a b c d e f", "a"]

    expected = TokenCounter(SAMPLE, fast=False).count(texts)
    assert TokenCounter(tmp_path).count(texts) == expected
    assert TokenCounter(tmp_path, fast=False).count(texts) == expected


def test_what_is_no_tokenizer_is_said(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    with pytest.raises(ValueError, match=rf"^{file}: no such file: expected a fast Hugging Face tokenizer$"):
        TokenCounter(tmp_path)
    file.write_text("{}")
    with pytest.raises(ValueError, match=rf"^{file}: not a readable tokenizer: "):
        TokenCounter(tmp_path)
    shutil.copy(SAMPLE / "tokenizer.json", file)
    assert TokenCounter(tmp_path).count(["a"]) == [1]
