import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.shared.formats.rows_file import SourceRow, read_rows, source_files

ROWS: list[dict[str, Any]] = [{"name": "Scale", "reward": 1.0}, {"name": "Shift", "reward": None}]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue().to_pybytes())


def many_lines() -> bytes:
    """Lines that do not compress into one block, so that what is cut off holds rows."""
    return b"".join(b'{"n": %d, "square": "%x"}\n' % (n, (n * 2654435761) ** 5) for n in range(20_000))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rows.jsonl", LINES),
        ("rows.ndjson", LINES.rstrip()),
        ("rows.jsonl.gz", gzip.compress(LINES, mtime=0)),
        ("rows.json.gz", gzip.compress(LINES[:30], mtime=0) + gzip.compress(LINES[30:], mtime=0)),
        ("rows.jsonl.zst", zstd(LINES)),
        ("more.jsonl.zst", zstd(LINES[:30]) + zstd(LINES[30:])),
    ],
    ids=["plain", "ndjson", "gzip", "gzip in parts", "zstd", "zstd in parts"],
)
def test_lines_are_read_plain_and_compressed(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert list(read_rows(tmp_path / name)) == [SourceRow(name, 1, ROWS[0]), SourceRow(name, 2, ROWS[1])]


@pytest.mark.parametrize("name", ["rows.json", "rows.json.gz"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_array_is_read_as_rows(tmp_path: Path, name: str, indent: int | None) -> None:
    """Also one that Python wrote, with a NaN; what is no object in it says why."""
    text = json.dumps([*ROWS, {"reward": float("nan"), "name": "\ud800"}, 3, {"reward": float("-inf")}], indent=indent)
    data = f"\n {text}\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)

    first, second, broken, number, last = read_rows(tmp_path / name)

    assert [first, second] == [SourceRow(name, 1, ROWS[0]), SourceRow(name, 2, ROWS[1])]
    assert (broken.line, broken.value, str(broken.problem)[:38]) == (3, None, "not valid JSON: 'utf-8' codec can't en")
    assert number == SourceRow(name, 4, None, "expected a JSON object", "3")
    assert last == SourceRow(name, 5, {"reward": float("-inf")})


def test_a_json_file_without_an_array_is_read_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_bytes(LINES)
    (tmp_path / "empty.json").touch()
    assert list(read_rows(tmp_path / "rows.json")) == [
        SourceRow("rows.json", 1, ROWS[0]),
        SourceRow("rows.json", 2, ROWS[1]),
    ]
    assert list(read_rows(tmp_path / "empty.json")) == []


@pytest.mark.parametrize("data", [b'[{"n": 1}, {"n"', b"[1] 2", b"[" * 100_000])
def test_a_json_array_that_is_cut_off_or_broken_is_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "rows.json").write_bytes(data)
    with pytest.raises(ValueError, match=r"/rows\.json: not valid JSON: "):
        list(read_rows(tmp_path / "rows.json"))


def test_json_beside_rows_tells_about_them_and_alone_is_rows(tmp_path: Path) -> None:
    """As the settings of a run in a folder of verifiers, and the only file of a dataset."""
    (tmp_path / "metadata.json").write_text('{"model": "glm"}')
    assert [row.value for row in read_rows(tmp_path)] == [{"model": "glm"}]
    (tmp_path / "results.jsonl").write_bytes(LINES)
    assert [row.value for row in read_rows(tmp_path)] == ROWS


def test_parquet_rows_are_numbered_from_one(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    assert list(read_rows(tmp_path)) == [
        SourceRow("rows.parquet", 1, ROWS[0]),
        SourceRow("rows.parquet", 2, ROWS[1]),
    ]


def test_a_folder_is_read_in_the_order_of_its_file_names(tmp_path: Path) -> None:
    """Other files, such as a dataset card, are not rows."""
    (tmp_path / "data").mkdir()
    for n, name in enumerate(["data/train-00001.jsonl", "data/train-00000.jsonl.gz", "extra.jsonl", "README.md"]):
        line = b'{"n": %d}\n' % n
        (tmp_path / name).write_bytes(gzip.compress(line) if name.endswith(".gz") else line)
    pq.write_table(pa.table({"n": [9]}), tmp_path / "data" / "train-00002.parquet")
    assert list(read_rows(tmp_path)) == [
        SourceRow("data/train-00000.jsonl.gz", 1, {"n": 1}),
        SourceRow("data/train-00001.jsonl", 1, {"n": 0}),
        SourceRow("data/train-00002.parquet", 1, {"n": 9}),
        SourceRow("extra.jsonl", 1, {"n": 2}),
    ]


def test_blank_lines_are_no_rows_and_keep_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'\n{"n": 1}\r\n  \n{"n": 2}')
    assert list(read_rows(tmp_path)) == [SourceRow("rows.jsonl", 2, {"n": 1}), SourceRow("rows.jsonl", 4, {"n": 2})]


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.zst"):
        (tmp_path / name).write_bytes(b"")
    assert list(read_rows(tmp_path)) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"n": 1', "not valid JSON: Input data was truncated"),
        (b"n = 1", "not valid JSON: JSON is malformed"),
        (b'{"n": "\\ud800"}', "not valid JSON: "),
        (b'{"n": NaN, "m": "\\ud800"}', "not valid JSON: 'utf-8' codec can't encode"),
        (b'{"n": NaN', "not valid JSON: "),
        (b'{"n": "\xff"}', "not valid JSON: "),
        (b'{"n": 1e999}', "not valid JSON: "),
        (b"[" * 100_000, "not valid JSON: maximum recursion depth"),
        (b'{"n": NaN, "m": ' + b"[" * 100_000, "not valid JSON: "),
        (b"[1, 2]", "expected a JSON object"),
        (b"null", "expected a JSON object"),
    ],
)
def test_a_line_that_is_no_object_says_why(tmp_path: Path, line: bytes, problem: str) -> None:
    """The lines around it are read, and its first 200 characters are kept."""
    (tmp_path / "rows.jsonl").write_bytes(b'{"n": 0}\n' + line + b'\n{"n": 2}\n')
    first, bad, last = read_rows(tmp_path)
    assert (first, last) == (SourceRow("rows.jsonl", 1, {"n": 0}), SourceRow("rows.jsonl", 3, {"n": 2}))
    text = (line + b"\n")[:200].decode(errors="replace")
    assert (bad.file, bad.line, bad.value, bad.raw) == ("rows.jsonl", 2, None, text)
    assert bad.problem is not None
    assert bad.problem.startswith(problem)


def test_numbers_that_python_spells_are_read(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"a": Infinity, "b": [-Infinity], "c": "NaN"}\n{"reward": NaN}\n')
    first, second = read_rows(tmp_path)
    assert first.value == {"a": float("inf"), "b": [float("-inf")], "c": "NaN"}
    assert str(second.value) == "{'reward': nan}"


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.jsonl.zst"])
@pytest.mark.parametrize("kept", [0.5, 0.9999])
def test_a_compressed_file_that_was_cut_off_is_an_error(tmp_path: Path, name: str, kept: float) -> None:
    data = (gzip.compress if name.endswith(".gz") else zstd)(many_lines())
    (tmp_path / name).write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ValueError, match=r"line \d+: the file is damaged or cut off: Truncated") as caught:
        list(read_rows(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / name}: ")


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.jsonl.zst"])
def test_a_file_that_is_not_compressed_as_its_name_says_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(LINES)
    with pytest.raises(ValueError, match=r": line 1: the file is damaged or cut off: "):
        list(read_rows(tmp_path))


def test_a_damaged_gzip_file_is_an_error(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(many_lines()))
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "rows.jsonl.gz").write_bytes(data)
    with pytest.raises(ValueError, match=r"rows\.jsonl\.gz: line \d+: the file is damaged or cut off: zlib"):
        list(read_rows(tmp_path))


def test_a_damaged_parquet_file_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"n": [f"{n**5:x}" for n in range(20_000)]}), file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"rows\.parquet: row 1: not a readable Parquet file: Parquet magic bytes"):
        list(read_rows(tmp_path))
    file.write_bytes(whole[:5000] + b"\xff" * 100 + whole[5100:])
    with pytest.raises(ValueError, match=r"rows\.parquet: row 1: not a readable Parquet file: Corrupt snappy"):
        list(read_rows(tmp_path))


def test_a_missing_path_and_an_unknown_name_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^/.*/none: no such file or folder$"):
        source_files(tmp_path / "none")
    with pytest.raises(ValueError, match=r"^not/here\.jsonl: no such file or folder \(in an experiment outside"):
        source_files(Path("not/here.jsonl"))
    (tmp_path / "rows.csv").touch()
    with pytest.raises(ValueError, match=r"rows\.csv: expected a name that ends in one of \.jsonl, \.jsonl\.gz, "):
        source_files(tmp_path / "rows.csv")
    assert source_files(tmp_path) == []
