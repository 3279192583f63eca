"""Parquet tables with fixed writer options, so that equal rows are equal bytes, written atomically."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.shared.atomic import replacing

ROWS_PER_GROUP = 1000
# Long texts that hardly repeat within a row group: a dictionary page would be built and thrown away.
LONG_TEXTS = frozenset({"content", "reasoning", "answer", "extra", "evaluation_raw"})


class TableWriter:
    """Collects rows and writes them in row groups of `ROWS_PER_GROUP`."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.schema = schema
        self.n_rows = 0
        self._rows: list[dict[str, Any]] = []
        dictionary = [name for name in schema.names if name not in LONG_TEXTS]
        self._parquet = pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=dictionary)

    def write(self, row: dict[str, Any]) -> None:
        """Add one row; a column that the row lacks is null."""
        self._rows.append(row)
        self.n_rows += 1
        if len(self._rows) == ROWS_PER_GROUP:
            self._flush()

    def write_table(self, table: pa.Table) -> None:
        """Add a table with exactly the writer's columns."""
        self._flush()
        self.n_rows += table.num_rows
        self._parquet.write_table(table.select(self.schema.names).cast(self.schema), row_group_size=ROWS_PER_GROUP)

    def close(self) -> None:
        """Write what is left, and the footer."""
        self._flush()
        self._parquet.close()

    def _flush(self) -> None:
        if self._rows:
            self._parquet.write_batch(pa.RecordBatch.from_pylist(self._rows, schema=self.schema))
            self._rows.clear()


@contextmanager
def writing(path: Path, schema: pa.Schema) -> Iterator[TableWriter]:
    """Open a writer for `path`; nothing is left of it when the body fails."""
    with replacing(path) as partial:
        writer = TableWriter(partial, schema)
        try:
            yield writer
        finally:
            writer.close()


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:  # noqa: ARG002
        if fullname == "pandas":
            raise ModuleNotFoundError(name=fullname)


def skip_pandas() -> None:
    """Keep pyarrow from importing pandas, which takes a second, at its first conversion of Python values.

    It looks for pandas once in a process, to recognise a Series; no stage has one.
    """
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    pa.array([])
    sys.meta_path.remove(finder)


def write(path: Path, schema: pa.Schema, columns: dict[str, Any]) -> None:
    """Write a narrow table from whole columns (lists or arrays of equal length)."""
    with writing(path, schema) as writer:
        writer.write_table(pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names}))


def read(path: Path, columns: Sequence[str]) -> pa.Table:
    """Read only the named columns.

    Raises:
        ValueError: the file is not Parquet, or a column is missing.
    """
    return pa.Table.from_batches(list(batches(path, columns)), schema=_schema(path, columns))


def batches(path: Path, columns: Sequence[str], rows: int = ROWS_PER_GROUP) -> Iterator[pa.RecordBatch]:
    """Stream the named columns in record batches of at most `rows` rows, in file order."""
    _schema(path, columns)
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=rows, columns=list(columns)):
            yield batch.select(list(columns))


def column(path: Path, name: str) -> list[Any]:
    """One column as Python values."""
    values: list[Any] = read(path, [name])[name].to_pylist()
    return values


def assert_same_keys(left: pa.ChunkedArray | pa.Array, right: pa.ChunkedArray | pa.Array, what: str) -> None:
    """Tables are joined by position: their keys must be the same in the same order."""
    same = len(left) == len(right) and left.to_pylist() == right.to_pylist()
    assert same, f"{what}: the keys differ, so the tables cannot be joined by position"


def _schema(path: Path, columns: Sequence[str]) -> pa.Schema:
    try:
        schema = pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not a Parquet file: {error}") from None
    missing = [name for name in columns if name not in schema.names]
    if missing:
        raise ValueError(f"{path}: the column '{missing[0]}' is missing")
    return pa.schema([schema.field(name) for name in columns])
