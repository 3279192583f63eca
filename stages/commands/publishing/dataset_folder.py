"""A dataset as `build` wrote it: Parquet files of its splits, a card, and what the card shows."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.commands.publishing.manifest import described
from stages.shared.records import short_hash

_FILE = re.compile(r"data/(?P<split>\w+)-(?P<number>\d{5})-of-\d{5}\.parquet")
DATA = "data/"
"""Begins the path of every data file."""
_CARD = "README.md"
_OTHER = re.compile(r"LICENSE\.md|assets/\w+\.svg", re.ASCII)
"""What `build` writes beside the data and the card."""
_KEYS = ("row_id", "module_id")
_ROWS = 500


@dataclass(frozen=True)
class DatasetFolder:
    """A variant on disk."""

    variant: str
    files: dict[str, Path]
    """The data files by their path in the dataset, the files of a split in order."""
    rows: dict[str, int]
    """By split; splits without rows have no file."""
    schema: pa.Schema
    card: str
    others: dict[str, Path]
    """Files beside the card, such as its pictures and the text of a licence, by path."""

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of all files but the card, by path."""
        return {path: described(file).sha256 for path, file in {**self.files, **self.others}.items()}


def dataset_folder(variant: str, folder: Path) -> DatasetFolder | None:
    """Read what a folder holds; None for a variant without rows, which is a card alone.

    Raises:
        ValueError: no card, a file that `build` does not write (what `.dvcignore` names, DVC does not see), or data of
            other columns than those of the first file.
    """
    found = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    files = {path: file for path, file in found.items() if path.startswith(DATA)}
    others = {path: file for path, file in found.items() if path not in files and path != _CARD}
    for path, file in others.items():
        if not _OTHER.fullmatch(path):
            raise ValueError(f"{file}: no file of a dataset; remove it")
    rows: dict[str, int] = {}
    schemas = []
    for path, file in files.items():
        name = _FILE.fullmatch(path)
        if not name:
            raise ValueError(f"{file}: expected a file named {{split}}-00000-of-00001.parquet")
        meta = pq.read_metadata(file)
        rows[name["split"]] = rows.get(name["split"], 0) + meta.num_rows
        schemas.append(meta.schema.to_arrow_schema().remove_metadata())
    if not files:
        return None
    if any(schema != schemas[0] for schema in schemas):
        raise ValueError(f"{folder}: the files have different columns")
    if _CARD not in found:
        raise ValueError(f"{folder}: expected a card, {_CARD}")
    return DatasetFolder(variant, files, rows, schemas[0], found[_CARD].read_text(encoding="utf-8"), others)


def split_of(path: str) -> str:
    """The split that a data file belongs to, by its path in the dataset."""
    found = _FILE.fullmatch(path)
    assert found, path
    return found["split"]


def batch_hashes(batch: pa.RecordBatch | pa.Table) -> list[str]:
    """A hash of each row: equal rows have equal hashes, whatever file or library they come from."""
    return [short_hash(_spelled(row)) for row in batch.to_pylist()]


def _spelled(value: Any) -> Any:
    """A value that JSON has: for NaN and the infinities it has nothing but null."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _spelled(item) for name, item in value.items()}
    return [_spelled(item) for item in value] if isinstance(value, list) else value


def split_hashes(files: Mapping[str, Path], split: str) -> Iterator[str]:
    """The hash of each row of a split, in order."""
    for path, file in files.items():
        if split_of(path) == split:
            with pq.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches(batch_size=_ROWS):
                    yield from batch_hashes(batch)


def keyed_hashes(files: Mapping[str, Path]) -> dict[tuple[str, int], str]:
    """A hash of split and content of every row, by its identity.

    The identity is `row_id`, else `module_id`, else the content; the n-th row with the same one has the number n.
    """
    found: dict[tuple[str, int], str] = {}
    times: dict[str, int] = {}
    for path, file in files.items():
        with pq.ParquetFile(file) as parquet:
            column = next((name for name in _KEYS if name in parquet.schema_arrow.names), None)
            for batch in parquet.iter_batches(batch_size=_ROWS):
                hashes = batch_hashes(batch)
                keys = batch[column].to_pylist() if column else hashes
                for key, content in zip(keys, hashes, strict=True):
                    times[key] = times.get(key, -1) + 1
                    found[key, times[key]] = f"{split_of(path)} {content}"
    return found
