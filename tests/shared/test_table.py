import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.shared import table

SCHEMA = pa.schema(
    [
        ("row_id", pa.string()),
        ("content", pa.string()),
        ("reward", pa.float64()),
        ("n", pa.int64()),
        ("ok", pa.bool_()),
        ("flags", pa.list_(pa.string())),
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
    ]
)


def rows(n: int) -> list[dict[str, Any]]:
    return [
        {
            "row_id": f"r{i}",
            "content": f"text {i} é \U0001f600 \x00",
            "reward": None if i % 3 else i / 7,
            "n": i - 2**40,
            "ok": None if i % 5 == 0 else i % 2 == 0,
            "flags": [] if i % 2 else ["a", "b"],
            "prompt": [{"role": "user", "content": None}] if i % 4 else None,
        }
        for i in range(n)
    ]


def write(path: Path, given: list[dict[str, Any]]) -> Path:
    with table.writing(path, SCHEMA) as writer:
        for row in given:
            writer.write(row)
    assert writer.n_rows == len(given)
    return path


@pytest.mark.parametrize("n", [0, 1, 999, 1000, 1001, 2500])
def test_rows_survive_a_round_trip(tmp_path: Path, n: int) -> None:
    path = write(tmp_path / "a.parquet", rows(n))

    found = table.read(path, SCHEMA.names)
    assert found.schema == SCHEMA
    assert found.to_pylist() == rows(n)
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert groups == [min(1000, n - start) for start in range(0, n, 1000)]


def test_equal_rows_are_equal_bytes_in_any_process(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", rows(1500))

    code = (
        "import sys; from pathlib import Path; from stages.shared.stage import skip_pandas; skip_pandas()\n"
        "sys.path.insert(0, sys.argv[1]); import test_table; test_table.write(Path(sys.argv[2]), test_table.rows(1500))"
    )
    here = Path(__file__)
    command = [sys.executable, "-c", code, str(here.parent), str(tmp_path / "b.parquet")]
    subprocess.run(command, cwd=here.parents[2], check=True)

    assert (tmp_path / "b.parquet").read_bytes() == path.read_bytes()


def test_a_column_that_a_row_lacks_is_null(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [{"row_id": "r0"}])

    assert table.read(path, SCHEMA.names).to_pylist() == [{**dict.fromkeys(SCHEMA.names), "row_id": "r0"}]


def test_whole_columns_and_single_rows_make_the_same_file(tmp_path: Path) -> None:
    columns = {name: [row[name] for row in rows(10)] for name in SCHEMA.names}
    table.write(tmp_path / "b.parquet", SCHEMA, columns)

    assert (tmp_path / "b.parquet").read_bytes() == write(tmp_path / "a.parquet", rows(10)).read_bytes()


def test_rows_before_and_after_a_table_keep_their_order(tmp_path: Path) -> None:
    given = rows(30)
    with table.writing(tmp_path / "a.parquet", SCHEMA) as writer:
        writer.write(given[0])
        writer.write_table(pa.Table.from_pylist(given[1:20], schema=SCHEMA).select(SCHEMA.names[::-1]))
        for row in given[20:]:
            writer.write(row)

    assert writer.n_rows == 30
    assert table.read(tmp_path / "a.parquet", SCHEMA.names).to_pylist() == given


def write_and_stop(writer: table.TableWriter) -> None:
    writer.write(rows(1)[0])
    raise ValueError("stop")


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", rows(3))
    before = path.read_bytes()

    with pytest.raises(ValueError, match=r"^stop$"), table.writing(path, SCHEMA) as writer:
        write_and_stop(writer)
    with pytest.raises(pa.ArrowInvalid), table.writing(path, SCHEMA) as writer:
        writer.write({"n": "not a number"})

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_only_the_named_columns_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", rows(2))

    assert table.read(path, ["n", "row_id"]).to_pydict() == {"n": [-(2**40), 1 - 2**40], "row_id": ["r0", "r1"]}
    assert table.column(path, "row_id") == ["r0", "r1"]


def test_batches_are_streamed_in_file_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", rows(2300))

    found = list(table.batches(path, ["row_id"], rows=400))
    assert max(batch.num_rows for batch in found) <= 400
    assert [name for batch in found for name in batch["row_id"].to_pylist()] == [f"r{i}" for i in range(2300)]


def test_what_is_not_a_table_is_an_error_a_user_can_act_on(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("row_id,reward\n")
    with pytest.raises(ValueError, match=rf"^{path}: not a Parquet file: "):
        table.read(path, ["row_id"])

    write(path, rows(1))
    with pytest.raises(ValueError, match=rf"^{path}: the column 'rewards' is missing$"):
        list(table.batches(path, ["row_id", "rewards"]))


def test_keys_must_be_the_same_in_the_same_order() -> None:
    table.assert_same_keys(pa.array(["a", "b"]), pa.chunked_array([["a"], ["b"]]), "left and right")
    for other in (["b", "a"], ["a"], ["a", "b", "c"]):
        with pytest.raises(AssertionError, match=r"^left and right: the keys differ"):
            table.assert_same_keys(pa.array(["a", "b"]), pa.array(other), "left and right")
