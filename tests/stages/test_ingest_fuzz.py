"""Damaged rollouts of every format are kept or rejected by name; none of them stops a stage."""

import json
import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import ingest, ingest_modules
from stages.shared.formats.rollouts import FORMATS

FIXTURES = Path(__file__).parent.parent / "fixtures" / "rollouts"
LINES = [line for form in FORMATS for line in (FIXTURES / f"{form}.jsonl").read_text().splitlines()]
NESTED = [f"@nested {depth}@" for depth in (50, 900, 990, 995, 996, 997, 998, 5000)]
"""Stand for arrays of this depth, which Python's own writer cannot spell. The limit of the reader is about 1,000."""
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        [0, -1, 1.5, 1 << 63, -(1 << 64), 10**400, float("nan"), float("inf"), "", "x", [], {}, [None], [{}]]
    ),
    st.sampled_from(
        ["\ud800", "{", '{"a": NaN}', '{"module_name": "\\ud800"}', "null", "[" * 5000, "</think>", *NESTED]
    ),
    st.sampled_from([{"role": "assistant"}, {"role": "tool", "content": "x"}, {"reasoning_tokens": 9}, {"start": "x"}]),
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["delete", "replace", "wrap", "name", "copy"]), st.integers(0, 1 << 30), VALUES),
    max_size=4,
)
ENDS = st.one_of(st.none(), st.none(), st.floats(0, 1))


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a value with each of its keys."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [place for key in keys for place in [(value, key), *places(value[key])]]


def change(row: Any, how: str, where: int, value: Any) -> None:
    """Damage one place of a row."""
    found = places(row)
    if not found:
        return
    parent, key = found[where % len(found)]
    if how == "delete":
        del parent[key]
    elif how == "replace":
        parent[key] = value
    elif how == "wrap":
        parent[key] = [parent[key]] if where % 2 else {"value": parent[key]}
    elif isinstance(parent, dict):
        parent[f"{key}{where % 3}"] = parent.pop(key) if how == "name" else parent[key]
    else:
        parent.append(parent[key])


def written(line: str, changes: list[tuple[str, int, Any]], end: float | None) -> str:
    """A line with its changes, cut off at a share of its length."""
    row = json.loads(line)
    for how, where, value in changes:
        change(row, how, where, json.loads(json.dumps(value)))
    text = json.dumps(row)
    for name in NESTED:
        depth = int(name.strip("@").split()[1])
        text = text.replace(f'"{name}"', "[" * depth + "]" * depth)
    return text if end is None else text[: int(len(text) * end)]


def check_that_all_rows_are_accounted_for(source: Path, folder: Path) -> int:
    """Run both stages that read rollouts. Returns the number of records."""
    files = {"records": folder / "records.parquet", "rejects": folder / "rejects.parquet"}
    params = ingest.Params(base="", limit=None, max_reject_fraction=1.0)
    metrics = ingest.run(params, base=source, **files)
    kept, rejected = (pq.read_table(files[name]) for name in ("records", "rejects"))
    assert metrics["rows_in"] == kept.num_rows + rejected.num_rows
    assert (metrics["kept"], metrics.get("dropped_rejected", 0)) == (kept.num_rows, rejected.num_rows)
    assert all(rejected["reason"].to_pylist())
    assert len(set(kept["row_id"].to_pylist())) == kept.num_rows

    files = {"modules": folder / "modules.parquet", "rejects": folder / "module_rejects.parquet"}
    of_modules = ingest_modules.run(ingest_modules.Params(path="", max_reject_fraction=1.0), path=source, **files)
    assert of_modules["rows_in"] == metrics["rows_in"]
    assert of_modules["kept"] == pq.read_table(files["modules"]).num_rows
    return int(kept.num_rows)


@settings(max_examples=120)
@given(st.lists(st.tuples(st.sampled_from(LINES), CHANGES, ENDS), min_size=1, max_size=20))
def test_damaged_rows_are_kept_or_rejected(damaged: list[tuple[str, list[tuple[str, int, Any]], float | None]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "rollouts.jsonl"
        source.write_text("".join(written(*row) + "\n" for row in damaged))
        check_that_all_rows_are_accounted_for(source, folder)


def test_rows_that_are_not_damaged_are_all_kept(tmp_path: Path) -> None:
    (tmp_path / "rollouts.jsonl").write_text("".join(f"{line}\n" for line in LINES))
    assert check_that_all_rows_are_accounted_for(tmp_path / "rollouts.jsonl", tmp_path) == len(LINES) + 1


def test_values_that_only_parquet_has_are_kept_or_rejected(tmp_path: Path) -> None:
    """Bytes, times and exact decimals can be kept as JSON; as a reward they are wrong."""
    values = [b"\xff", datetime(2026, 1, 1, tzinfo=UTC), Decimal("0.10"), [("a", 1)]]
    types = [pa.binary(), pa.timestamp("us", "UTC"), pa.decimal128(5, 2), pa.map_(pa.string(), pa.int64())]
    row = json.loads(LINES[0])
    source = tmp_path / "rollouts"
    source.mkdir()
    for i, (value, kind) in enumerate(zip(values, types, strict=True)):
        for column in ("note", "reward"):
            table = pa.Table.from_pylist([{key: row[key] for key in row if key != column}])
            pq.write_table(table.append_column(column, pa.array([value], kind)), source / f"{i}-{column}.parquet")
    assert check_that_all_rows_are_accounted_for(source, tmp_path) == len(values)
