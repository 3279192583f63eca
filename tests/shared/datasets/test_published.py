from typing import Any

import pyarrow as pa
import pytest

from stages.shared.datasets.published import RECORD_COLUMNS, published_row, schema
from stages.shared.records import MESSAGES, RECORDS, SOURCE_COLUMNS

INFO = {
    "module_name": "Add",
    "python_code": "class Add: pass",
    "triton_code": None,
    "uuid": 7,
    "repo_name": "a/b",
    "licenses": ["MIT"],
    "stars": 3,
    "sha": "f00",
    "repo_link": "https://example.org/a/b",
}
PLAIN = {
    "row_id": "r1",
    "example_id": 1,
    "prompt": [{"role": "user", "content": "Write it."}],
    "answer": "class AddNew: pass",
    "task": "kernelbook",
    "reward": 1.0,
    "speedup_reward": None,
    "generation_ms": 1.5,
    "scoring_ms": 2.5,
    "total_ms": 4.0,
    "num_turns": 1,
}
RECORD: dict[str, Any] = {
    **INFO,
    **PLAIN,
    "content": "Here:\n<answer>\nclass AddNew: pass\n</answer>",
    "reasoning": "Think.",
    "extra": None,
}
ROW = {
    **PLAIN,
    "info": INFO,
    "oai_tools": None,
    "completion": [
        {
            "role": "assistant",
            "content": "Here:\n<answer>\nclass AddNew: pass\n</answer>",
            "reasoning_content": "Think.",
        }
    ],
}


def test_a_record_becomes_a_row_of_the_reference() -> None:
    assert published_row(RECORD, "reasoning_content", reasoning=True) == ROW


@pytest.mark.parametrize(
    ("key", "reasoning", "message"),
    [
        ("thinking", "Think.", {"content": RECORD["content"], "thinking": "Think."}),
        ("inline", "Think.", {"content": "<think>\nThink.\n</think>\n\n" + RECORD["content"]}),
        ("inline", None, {"content": RECORD["content"]}),
        ("thinking", None, {"content": RECORD["content"]}),
    ],
)
def test_the_reasoning_stands_under_the_key_that_is_asked_for(
    key: str, reasoning: str | None, message: dict[str, str]
) -> None:
    row = published_row({**RECORD, "reasoning": reasoning}, key, reasoning=True)

    assert row == {**ROW, "completion": [{"role": "assistant", **message}]}


def test_without_reasoning_the_completion_is_the_answer_alone() -> None:
    row = published_row(RECORD, "reasoning_content", reasoning=False)

    assert row == {
        **ROW,
        "completion": [{"role": "assistant", "content": "<answer>\nclass AddNew: pass\n</answer>"}],
    }


@pytest.mark.parametrize(
    ("extra", "tools"),
    [
        (None, None),
        ('{"other":1}', None),
        ('{"oai_tools":"[]"}', "[]"),
        ('{"oai_tools":[{"type":"function","name":"f"}]}', '[{"name":"f","type":"function"}]'),
    ],
)
def test_tools_are_json(extra: str | None, tools: str | None) -> None:
    assert published_row({**RECORD, "extra": extra}, "reasoning_content", reasoning=True) == {**ROW, "oai_tools": tools}


REFERENCE = [
    *("example_id", "prompt", "completion", "answer", "task", "reward", "generation_ms", "scoring_ms", "total_ms"),
    *("info", "speedup_reward", "num_turns", "oai_tools"),
]


@pytest.mark.parametrize(
    ("key", "reasoning", "message"),
    [
        ("reasoning_content", True, ["role", "content", "reasoning_content"]),
        ("inline", True, ["role", "content"]),
        ("reasoning_content", False, ["role", "content"]),
    ],
)
def test_the_columns_are_those_of_the_reference_then_more(key: str, *, reasoning: bool, message: list[str]) -> None:
    found = schema(key, reasoning=reasoning, more=[("row_id", pa.string())])

    assert set(found.names) == {*REFERENCE, "row_id"}
    assert found.names[-1] == "row_id"
    assert found.field("completion").type == pa.list_(pa.struct([(name, pa.string()) for name in message]))
    assert found.field("prompt").type == MESSAGES
    assert [field.name for field in found.field("info").type] == list(SOURCE_COLUMNS)
    for name in {*REFERENCE} & {*RECORDS.names}:
        assert found.field(name).type == RECORDS.field(name).type


def test_a_row_fills_every_column_of_its_schema() -> None:
    columns = schema("reasoning_content", reasoning=True, more=[("row_id", pa.string())])

    table = pa.Table.from_pylist([ROW], schema=columns)
    assert table.to_pylist() == [{name: ROW[name] for name in columns.names}]
    assert set(ROW) == set(columns.names)


def test_no_column_that_a_row_needs_is_left_unread() -> None:
    row = {name: RECORD[name] for name in RECORD_COLUMNS}

    assert published_row(row, "reasoning_content", reasoning=True) == ROW
    assert set(RECORD_COLUMNS) == set(RECORD)
