"""The two wide tables that every other table is keyed by: modules and records (rollouts)."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
TEXTS = pa.list_(pa.string())

MODULES = pa.schema(
    [
        ("module_id", pa.string()),
        ("module_name", pa.string()),
        ("entry_point", pa.string()),
        ("python_code", pa.string()),
        ("triton_code", pa.string()),
        ("uuids", pa.list_(pa.int64())),
        ("n_rows", pa.int64()),
        ("repo_name", pa.string()),
        ("licenses", TEXTS),
        ("stars", pa.int64()),
        ("sha", pa.string()),
        ("repo_link", pa.string()),
        ("synthetic", pa.bool_()),
        ("source", pa.string()),
        ("source_revision", pa.string()),
        ("extra", pa.string()),
    ]
)

RECORDS = pa.schema(
    [
        ("row_id", pa.string()),
        ("repeat_of", pa.string()),
        ("position", pa.int64()),
        ("example_id", pa.int64()),
        ("module_id", pa.string()),
        ("module_name", pa.string()),
        ("entry_point", pa.string()),
        ("python_code", pa.string()),
        ("triton_code", pa.string()),
        ("uuid", pa.int64()),
        ("repo_name", pa.string()),
        ("licenses", TEXTS),
        ("stars", pa.int64()),
        ("sha", pa.string()),
        ("repo_link", pa.string()),
        ("prompt", MESSAGES),
        ("content", pa.string()),
        ("reasoning", pa.string()),
        ("answer", pa.string()),
        ("answer_format", pa.string()),
        ("reward", pa.float64()),
        ("speedup_reward", pa.float64()),
        ("generation_ms", pa.float64()),
        ("scoring_ms", pa.float64()),
        ("total_ms", pa.float64()),
        ("num_turns", pa.int64()),
        ("is_truncated", pa.bool_()),
        ("task", pa.string()),
        ("source_format", pa.string()),
        ("source", pa.string()),
        ("source_revision", pa.string()),
        ("extra", pa.string()),
    ]
)

SOURCE_COLUMNS = (
    "module_name",
    "python_code",
    "triton_code",
    "uuid",
    "repo_name",
    "licenses",
    "stars",
    "sha",
    "repo_link",
)
"""What published rows tell of a module and where it comes from."""

REJECTS = pa.schema([("file", pa.string()), ("line", pa.int64()), ("reason", pa.string()), ("raw", pa.string())])


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: equal values are equal bytes."""
    return msgspec.json.encode(value, order="sorted")


def short_hash(value: Any) -> str:
    """The first 16 hex digits of the SHA-256 of the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:16]


def module_id(python_code: str, module_name: str) -> str:
    """The identity of a module: all its rollouts share it."""
    return short_hash({"module_name": module_name, "python_code": python_code})


class RowIds:
    """Identities of rollouts by content: the n-th copy of the same content has an identity of its own."""

    def __init__(self) -> None:
        self._copies: Counter[str] = Counter()

    def next(
        self, prompt: Sequence[Mapping[str, Any]], content: str, reasoning: str | None, python_code: str
    ) -> tuple[str, str | None]:
        """Returns the row's id and, for a further copy, the id of the first."""
        body = {"prompt": prompt, "content": content, "reasoning": reasoning, "python_code": python_code, "n": 0}
        first = hashlib.sha256(canonical_json(body)).hexdigest()[:16]
        n = self._copies[first]
        self._copies[first] += 1
        return (short_hash({**body, "n": n}), first) if n else (first, None)


def extra_json(fields: dict[str, Any]) -> str | None:
    """The fields of a source row that have no column, as canonical JSON; None where there are none.

    Raises:
        ValueError: a value that JSON in UTF-8 cannot hold.
    """
    given = {key: value for key, value in fields.items() if value is not None}
    try:
        return canonical_json(given).decode() if given else None
    except (OverflowError, TypeError, RecursionError, UnicodeEncodeError) as error:
        raise ValueError(f"a field without a column cannot be kept as JSON: {error}") from None
