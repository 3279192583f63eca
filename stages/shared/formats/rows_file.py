"""Read rows from where users keep them: JSONL (plain, gzip, zstd), a JSON array, Parquet, or a folder of these."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from stages.shared.hub import hub_folder

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json.gz", ".ndjson", ".parquet")
METADATA_SUFFIX = ".json"
"""Of a file of rows where it is named itself or the folder has no other rows; beside rows it tells about them."""
_PARQUET_BATCH = 256
_BUFFER_BYTES = 1 << 20
_decoder = msgspec.json.Decoder()
_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True)
class SourceRow:
    """One row of a source file, or why it could not be read."""

    file: str
    """Name inside the folder, or of the file itself: never a machine's path. What was fetched from the Hub has the name
    of its repository before the path there."""
    line: int
    """1-based line, or row for Parquet and for a JSON array."""
    value: dict[str, Any] | None
    problem: str | None = None
    raw: str = ""
    """The first characters of a line that could not be read."""
    revision: str | None = None
    """The commit of the repository, where the file was fetched from the Hub."""


def source_files(path: Path) -> list[Path]:
    """The data files under `path`, sorted by name.

    Raises:
        ValueError: the path does not exist, or a file has a name that no reader knows.
    """
    if not path.exists():
        hint = "" if path.is_absolute() else " (in an experiment outside the workspace it must be tracked or absolute)"
        raise ValueError(f"{path}: no such file or folder{hint}")
    if path.is_file():
        if not path.name.endswith((*SUFFIXES, METADATA_SUFFIX)):
            raise ValueError(f"{path}: expected a name that ends in one of {', '.join((*SUFFIXES, METADATA_SUFFIX))}")
        return [path]
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != hub_folder.NOTE)
    rows = [file for file in files if file.name.endswith(SUFFIXES)]
    return rows or [file for file in files if file.name.endswith(METADATA_SUFFIX)]


def read_rows(path: Path) -> Iterator[SourceRow]:
    """Yield every row below `path`, in the order of file names and lines. Blank lines are not rows."""
    fetched = hub_folder.holding(path)
    for file in source_files(path):
        name, revision = file.name if path.is_file() else file.relative_to(path).as_posix(), None
        if fetched:
            folder, note = fetched
            name, revision = f"{note.repo}/{file.relative_to(folder).as_posix()}", note.commit
        for row in _read_parquet(file, name) if file.suffix == ".parquet" else _read_json(file, name):
            yield replace(row, revision=revision) if revision else row


def _read_json(file: Path, name: str) -> Iterator[SourceRow]:
    line = 0
    with _open(file) as lines:
        try:
            array = file.name.endswith((".json", ".json.gz")) and lines.peek().lstrip().startswith(b"[")
            for line, text in enumerate(_items(file, lines.read()) if array else lines, start=1):
                if text.strip():
                    yield _parse_line(name, line, text)
        except OSError as error:
            raise ValueError(f"{file}: line {line + 1}: the file is damaged or cut off: {error}") from None


def _items(file: Path, array: bytes) -> Iterator[bytes]:
    """The text of each item, so that only the row at hand is Python values."""
    try:
        yield from map(bytes, _array_decoder.decode(array))
    except (msgspec.DecodeError, RecursionError):
        try:
            values = json.loads(array)  # it may hold NaN, which `_parse_line` reads
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}: not valid JSON: {error}") from None
        yield from (json.dumps(value).encode() for value in values)


def _open(file: Path) -> io.BufferedReader:
    # Arrow's readers, unlike zstandard's, say when a compressed file ends too early.
    compression = {".gz": "gzip", ".zst": "zstd"}.get(file.suffix)
    return io.BufferedReader(pa.input_stream(str(file), compression=compression), _BUFFER_BYTES)


def _parse_line(name: str, line: int, text: bytes) -> SourceRow:
    try:
        value = _decode(text)
    except (ValueError, RecursionError) as error:
        return SourceRow(name, line, None, f"not valid JSON: {error}", text[:200].decode(errors="replace"))
    if not isinstance(value, dict):
        return SourceRow(name, line, None, "expected a JSON object", text[:200].decode(errors="replace"))
    return SourceRow(name, line, value)


def _decode(text: bytes) -> Any:
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError:
        # Python's own writer spells a missing reward NaN, which JSON proper does not know.
        if b"NaN" in text or b"Infinity" in text:
            value = json.loads(text)
            msgspec.json.encode(value)  # json.loads lets lone surrogates through, which no UTF-8 file can hold
            return value
        raise


def _read_parquet(file: Path, name: str) -> Iterator[SourceRow]:
    line = 0
    try:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(batch_size=_PARQUET_BATCH):
                for value in batch.to_pylist():
                    line += 1
                    yield SourceRow(name, line, value)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: row {line + 1}: not a readable Parquet file: {error}") from None
