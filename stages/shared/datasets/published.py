"""The columns of published rollouts: those of the reference's datasets, and how a record becomes such a row."""

from typing import Any

import msgspec
import pyarrow as pa

from stages.shared.completion import answer_only, published_message
from stages.shared.records import MESSAGES, RECORDS, SOURCE_COLUMNS

_PLAIN = ("answer", "task", "reward", "generation_ms", "scoring_ms", "total_ms")
_READ = ("row_id", "example_id", "prompt", "content", "reasoning", "speedup_reward", "num_turns", "extra")
RECORD_COLUMNS = [name for name in RECORDS.names if name in {*SOURCE_COLUMNS, *_PLAIN, *_READ}]
"""Columns of `records` that `published_row` needs."""


def schema(reasoning_key: str, *, reasoning: bool, more: list[tuple[str, pa.DataType]]) -> pa.Schema:
    """The exact columns of a dataset of rollouts.

    Args:
        reasoning_key: key of the assistant message that holds the reasoning, or `inline`.
        reasoning: whether the dataset has reasoning at all.
        more: further columns, after the reference's.
    """
    message = [("role", pa.string()), ("content", pa.string())]
    if reasoning and reasoning_key != "inline":
        message.append((reasoning_key, pa.string()))
    return pa.schema(
        [
            ("example_id", pa.int64()),
            ("prompt", MESSAGES),
            ("completion", pa.list_(pa.struct(message))),
            *((name, RECORDS.field(name).type) for name in _PLAIN),
            ("info", pa.struct([(name, RECORDS.field(name).type) for name in SOURCE_COLUMNS])),
            ("speedup_reward", pa.float64()),
            ("num_turns", pa.int64()),
            ("oai_tools", pa.string()),
            *more,
        ]
    )


def published_row(record: dict[str, Any], reasoning_key: str, *, reasoning: bool) -> dict[str, Any]:
    """The reference's columns of one record; without reasoning the completion is the answer alone."""
    if reasoning:
        message = published_message(record["content"], record["reasoning"], reasoning_key)
    else:
        message = {"role": "assistant", "content": answer_only(record["answer"])}
    extra = msgspec.json.decode(record["extra"]) if record["extra"] else {}
    tools = extra.get("oai_tools")
    return {
        "completion": [message],
        "info": {name: record[name] for name in SOURCE_COLUMNS},
        "oai_tools": tools if isinstance(tools, str | None) else msgspec.json.encode(tools, order="sorted").decode(),
        **{name: record[name] for name in (*_PLAIN, "row_id", "example_id", "prompt", "speedup_reward", "num_turns")},
    }
