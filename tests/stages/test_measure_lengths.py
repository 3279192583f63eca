import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.measure_lengths import COUNTS, Params, gate, run
from stages.shared.completion import CompletionParams, find_answer
from stages.shared.length_stats import length_stats
from tests.stages import tables

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"
TOKENIZER = SAMPLE / "tokenizer"
PARAMS = Params(tokenizer="data/sample/tokenizer")
KEY = CompletionParams(reasoning_key="reasoning_content")
NASTY: list[tables.Row] = [
    {
        "row_id": "special",
        "content": "a <|im_end|>\n<answer>b</answer>",
        "answer": "b",
        "reasoning": "\u00e9 \U0001f600",
    },
    {"row_id": "bare", "content": "no answer", "answer": None, "reasoning": None},
    {"row_id": "turns", "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "\n u \n"}]},
]


def template(reasoning: str, content: str = "message.content") -> str:
    """A chat template with these jinja expressions for the two parts of an assistant message."""
    return (
        "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
        "{%- if message.role == 'assistant' %}{{- " + reasoning + " }}{{- " + content + " }}"
        "{%- else %}{{- message.content }}{%- endif %}{{- '<|im_end|>\\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
    )


def measured(folder: Path, records: list[tables.Row], key: CompletionParams = KEY, tokenizer: Path = TOKENIZER) -> Any:
    """The rows of `lengths`, and the metrics."""
    files = tables.write(folder, records=records)
    metrics = run(PARAMS, key, **files, tokenizer=tokenizer, lengths=folder / "lengths.parquet")
    return tables.rows(folder / "lengths.parquet"), metrics


def sample_records() -> list[tables.Row]:
    lines = (SAMPLE / "rollouts" / "evals.jsonl").read_text(encoding="utf-8").splitlines()
    records = []
    for i, row in enumerate(map(json.loads, lines)):
        message = row["completion"][0]
        records.append(
            tables.record(
                f"r{i}",
                prompt=row["prompt"],
                content=message["content"],
                reasoning=message.get("reasoning"),
                answer=find_answer(message["content"])[0],
            )
        )
    return records


def test_counts_are_those_of_transformers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer  # noqa: PLC0415

    tokenizer: Any = AutoTokenizer.from_pretrained(str(TOKENIZER))

    def chat(messages: list[tables.Row], **options: bool) -> int:
        return len(tokenizer.apply_chat_template(messages, tokenize=True, **options)["input_ids"])

    def text(value: str | None) -> int:
        return len(tokenizer(value or "", add_special_tokens=False)["input_ids"])

    records = sample_records()[::3] + [tables.record("") | row for row in NASTY]
    expected = []
    for row in records:
        message = {"role": "assistant", "content": row["content"]}
        if row["reasoning"] is not None:
            message["reasoning_content"] = row["reasoning"]
        short = {"role": "assistant", "content": f"<answer>\n{row['answer'] or ''}\n</answer>"}
        counts = (
            chat(row["prompt"], add_generation_prompt=True),
            text(row["reasoning"]),
            text(row["answer"]),
            chat([*row["prompt"], message]),
            chat([*row["prompt"], short]),
        )
        expected.append({"row_id": row["row_id"], **dict(zip(COUNTS, counts, strict=True))})
    rows, metrics = measured(tmp_path, records)

    assert [{name: row[name] for name in ("row_id", *COUNTS)} for row in rows] == expected
    gates = [row["gate"] for row in rows]
    assert metrics == {
        "rows_in": len(records),
        "kept": len(records),
        "gate": {name: gates.count(name) for name in ("ok", "no_reasoning")},
        "total_tokens": length_stats([row["n_total_tokens"] for row in expected]),
        "total_tokens_no_reasoning": length_stats([row["n_total_tokens_no_reasoning"] for row in expected]),
    }


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (template("'<think>' + (message.reasoning_content or '') + '</think>'"), "ok"),
        (template("''"), "missing_reasoning"),
        (template("(message.reasoning_content or '') * 2"), "doubled_reasoning"),
        (template("message.reasoning_content", "''"), "missing_answer"),
        (template("message.reasoning_content", "message.content + message.content"), "doubled_answer"),
        (template("'<think></think><think>' + (message.reasoning_content or '') + '</think>'"), "empty_thought"),
        (template("message.reasoning_content", "message.content[:9]"), "missing_answer"),
        (template("''").replace("message.content }}{%- endif", "messages | length }}{%- endif"), "prompt_changes"),
    ],
)
def test_a_template_that_shows_something_else_fails_the_gate(tmp_path: Path, source: str, found: str) -> None:
    folder = tmp_path / "tokenizer"
    shutil.copytree(TOKENIZER, folder)
    (folder / "chat_template.jinja").write_text(source, encoding="utf-8")

    reasoning = "One program per row is enough."
    _, metrics = measured(tmp_path, [tables.record("r", reasoning=reasoning)], tokenizer=folder)

    assert metrics["gate"] == {found: 1}


def test_inline_reasoning_is_the_same_text_and_a_key_that_the_template_ignores_fails(tmp_path: Path) -> None:
    expected = measured(tmp_path, [tables.record("r")])
    unread, _ = measured(tmp_path, [tables.record("r")], CompletionParams(reasoning_key="thoughts"))

    assert measured(tmp_path, [tables.record("r")], CompletionParams(reasoning_key="inline")) == expected
    assert [row["gate"] for row in (*expected[0], *unread)] == ["ok", "missing_reasoning"]


def test_a_source_without_reasoning_is_named_so(tmp_path: Path) -> None:
    rows, _ = measured(tmp_path, [tables.record("r", reasoning=None), tables.record("s", reasoning=" \n")])

    assert [row["gate"] for row in rows] == ["no_reasoning", "no_reasoning"]


TEXTS = st.text("ab \n", max_size=8)


@given(TEXTS, TEXTS)
def test_texts_that_repeat_themselves_and_each_other_pass_the_gate(content: str, reasoning: str) -> None:
    """A model drafts its answer in its reasoning, and quotes its reasoning in its answer."""
    learned = f"<<\n{reasoning.strip()}\n>>\n\n{content.strip()}<>\n"

    assert gate(learned, content, reasoning) == ("ok" if reasoning.strip() else "no_reasoning")
    if reasoning.strip():
        assert gate(f"<<{content.strip()}<>", content, reasoning) in {"missing_reasoning", "missing_answer"}


def test_a_prompt_that_the_answer_changes_fails_the_gate() -> None:
    assert gate(None, "content", "reasoning") == "prompt_changes"


def test_no_records_give_an_empty_table(tmp_path: Path) -> None:
    empty = {"rows": 0}

    assert measured(tmp_path, []) == (
        [],
        {"rows_in": 0, "kept": 0, "gate": {}, "total_tokens": empty, "total_tokens_no_reasoning": empty},
    )


def test_a_folder_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"tokenizer_config.json: no such file: expected the folder of a Hugging Face"):
        measured(tmp_path, [tables.record("r")], tokenizer=SAMPLE / "none")
    assert not (tmp_path / "lengths.parquet").exists()


@pytest.mark.parametrize("key", ["", "Reasoning", "reasoning-content", "a b"])
def test_a_wrong_reasoning_key_is_named(tmp_path: Path, key: str) -> None:
    message = tables.knob_message(tmp_path, "completion", CompletionParams, {"reasoning_key": key})

    assert message == f"completion.reasoning_key: String should match pattern '^[a-z_]+$' (got {key!r})"


def test_a_template_that_fails_is_named(tmp_path: Path) -> None:
    tokenizer = shutil.copytree(TOKENIZER, tmp_path / "tokenizer")
    (tokenizer / "chat_template.jinja").write_text("{{ 1 / 0 }}")

    with pytest.raises(ValueError, match=rf"^{tokenizer}: the chat template refuses a conversation: ZeroDivisionError"):
        measured(tmp_path, [tables.record("r0")], tokenizer=tokenizer)
    assert not (tmp_path / "lengths.parquet").exists()
