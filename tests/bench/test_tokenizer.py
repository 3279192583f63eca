"""The converter makes the tokenizer that its ranks describe."""

from pathlib import Path

import pytest

from stages.shared.chat_template import ChatTemplate
from stages.shared.token_counter import TokenCounter
from tests.bench import tokenizer

RANKS = {bytes([byte]): byte for byte in range(256)} | {b"th": 256, b"in": 257, b"thin": 258, b" a": 259, b"gg": 260}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer.write(tmp_path, tokenizer.byte_level_tokenizer(RANKS, tokenizer.SPECIAL_TOKENS))
    return tmp_path


def test_a_token_is_merged_from_what_lower_ranks_leave() -> None:
    assert tokenizer.merge(b"thin", RANKS) == (b"th", b"in")
    assert tokenizer.merge(b"gg", RANKS) == (b"g", b"g")


def test_texts_are_encoded_by_rank_and_decoded_to_themselves() -> None:
    made = tokenizer.byte_level_tokenizer(RANKS, tokenizer.SPECIAL_TOKENS)
    think = made.token_to_id("<think>")

    assert made.get_vocab_size() == len(RANKS) + 26
    assert made.encode("<think>thinking a\u00e9").ids == [think, 258, ord("k"), 257, ord("g"), 259, 0xC3, 0xA9]
    assert made.decode(made.encode("\u00e4 thin egg\n 12").ids) == "\u00e4 thin egg\n 12"


def test_the_folder_renders_reasoning_for_the_last_answer_and_counts_it(folder: Path) -> None:
    asked = [{"role": "user", "content": "thin?"}]
    said = {"role": "assistant", "content": "A", "reasoning_content": "\ngg\n"}
    template = ChatTemplate(folder)
    prompt = "<|im_start|>user\nthin?<|im_end|>\n<|im_start|>assistant\n<think>\n"

    assert template.render(asked, add_generation_prompt=True) == prompt
    assert template.render([*asked, said]) == prompt + "gg\n</think>\n\nA<|im_end|>\n"
    earlier = template.render([*asked, said, *asked, said])
    assert earlier.count("gg") == 1
    assert TokenCounter(folder).count(["<think>\ngg"]) == [3]


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.whl").write_bytes(b"other")

    with pytest.raises(ValueError, match=r"other\.whl: expected the wheel of dashscope==2\.0\.2 with sha256 0602d18"):
        tokenizer.read_ranks(tmp_path / "other.whl")
