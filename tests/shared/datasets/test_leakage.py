from pathlib import Path

import pyarrow as pa
import pytest

from stages.shared import table
from stages.shared.datasets.leakage import TRAITS, check_leakage, check_selection

RECORDS = pa.schema([("row_id", pa.string()), ("module_id", pa.string())])
CLUSTERS = pa.schema([(name, pa.string()) for name in ("module_id", *TRAITS)])


def test_splits_that_share_nothing_are_counted() -> None:
    splits = ["train", "validation", "train"]
    traits = {"code_hash": ["a", "b", "a"], "module_name": ["Add", "Mul", "Sub"]}

    assert check_leakage(splits, traits) == {"code_hash": 2, "module_name": 3}


def test_a_shared_value_is_named_with_its_splits() -> None:
    traits = {"code_hash": ["a", "b", "c"], "module_name": ["Add", "Mul", "Add"]}

    with pytest.raises(ValueError, match=r"^leak: the module_name 'Add' is in both train and validation$"):
        check_leakage(["train", "train", "validation"], traits)


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """Four rows of four modules; `m1` and `m4` have the same code."""
    records, clusters = tmp_path / "records.parquet", tmp_path / "clusters.parquet"
    modules = ["m1", "m2", "m3", "m4"]
    table.write(records, RECORDS, {"row_id": ["r1", "r2", "r3", "r4"], "module_id": modules})
    columns = {
        "module_id": modules,
        "code_hash": ["c1", "c2", "c3", "c1"],
        "cluster_id": ["m1", "m2", "m3", "m4"],
        "module_name": ["A", "B", "C", "D"],
    }
    table.write(clusters, CLUSTERS, columns)
    return records, clusters


def selection(filtered: list[str | None], unique: list[str | None]) -> pa.Table:
    text = pa.string()
    return pa.table(
        {
            "row_id": pa.array(["r1", "r2", "r3", "r4"], text),
            "split": pa.array(["train", "train", "validation", "validation"], text),
            "filtered": pa.array(filtered, text),
            "unique": pa.array(unique, text),
        }
    )


def test_rows_that_are_not_published_do_not_leak(tables: tuple[Path, Path]) -> None:
    chosen = selection([None, None, None, "gate"], [None, "not_unique", None, "gate"])

    assert check_selection(chosen, *tables, ["filtered", "unique"]) == {
        "code_hash": 3,
        "cluster_id": 3,
        "module_name": 3,
    }


def test_a_leak_between_two_datasets_is_a_leak(tables: tuple[Path, Path]) -> None:
    chosen = selection([None, None, None, "gate"], ["gate", None, None, None])

    with pytest.raises(ValueError, match=r"^leak: the code_hash 'c1' is in both train and validation$"):
        check_selection(chosen, *tables, ["filtered", "unique"])


def test_a_selection_of_other_rows_is_refused(tables: tuple[Path, Path]) -> None:
    with pytest.raises(AssertionError, match="records and selection"):
        check_selection(selection([None] * 4, [None] * 4).slice(1), *tables, ["filtered"])
