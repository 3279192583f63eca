from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.shared.datasets.dataset import ROWS_PER_FILE, SplitWriter

SCHEMA = pa.schema([("row_id", pa.string()), ("n", pa.int64())])


def test_a_split_is_cut_into_files_that_count_each_other(tmp_path: Path) -> None:
    n_rows = ROWS_PER_FILE + 3
    writer = SplitWriter(tmp_path, "train", n_rows, SCHEMA)
    for i in range(n_rows):
        writer.write({"row_id": f"r{i}", "n": i})
    info = writer.close()

    files = sorted((tmp_path / "data").iterdir())
    assert [file.name for file in files] == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    assert [pq.read_metadata(file).num_rows for file in files] == [ROWS_PER_FILE, 3]
    assert pa.concat_tables(pq.read_table(file) for file in files)["n"].to_pylist() == list(range(n_rows))
    metas = [pq.read_metadata(file) for file in files]
    size = sum(meta.row_group(i).total_byte_size for meta in metas for i in range(meta.num_row_groups))
    assert info == {"name": "train", "num_bytes": size, "num_examples": n_rows}


def test_a_full_file_has_no_empty_file_after_it(tmp_path: Path) -> None:
    writer = SplitWriter(tmp_path, "train", ROWS_PER_FILE, SCHEMA)
    for i in range(ROWS_PER_FILE):
        writer.write({"row_id": "r", "n": i})
    writer.close()

    assert [file.name for file in (tmp_path / "data").iterdir()] == ["train-00000-of-00001.parquet"]


def test_a_split_without_rows_writes_nothing(tmp_path: Path) -> None:
    assert SplitWriter(tmp_path, "validation", 0, SCHEMA).close() == {
        "name": "validation",
        "num_bytes": 0,
        "num_examples": 0,
    }
    assert list(tmp_path.iterdir()) == []


def test_fewer_rows_than_announced_fail(tmp_path: Path) -> None:
    writer = SplitWriter(tmp_path, "train", 2, SCHEMA)
    writer.write({"row_id": "r", "n": 1})

    with pytest.raises(AssertionError, match=r"^train: 2 rows expected, 1 written$"):
        writer.close()
