from pathlib import Path

import pyarrow as pa
import pytest

from stages.shared import table
from stages.shared.datasets.module_fates import ModuleFates


def write(path: Path, **columns: list[str] | list[bool]) -> Path:
    types = {name: pa.bool_() if isinstance(values[0], bool) else pa.string() for name, values in columns.items()}
    table.write(path, pa.schema(types), columns)
    return path


@pytest.fixture
def clusters(tmp_path: Path) -> Path:
    return write(tmp_path / "clusters.parquet", module_id=["m1", "m2", "m3"], group_id=["m1", "m2", "m1"])


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    return write(tmp_path / "splits.parquet", group_id=["m2", "m1"], split=["validation", "train"])


def test_a_module_has_the_split_of_its_group(tmp_path: Path, clusters: Path, splits: Path) -> None:
    found = write(tmp_path / "found.parquet", module_id=["m1", "m2", "m3"], contaminated=[False, False, True])

    fates = ModuleFates(clusters, splits, found)

    assert {name: fates.of(name) for name in ("m1", "m2", "m3")} == {
        "m1": {"split": "train", "contaminated": False},
        "m2": {"split": "validation", "contaminated": False},
        "m3": {"split": "train", "contaminated": True},
    }
    assert fates.split == {"m1": "train", "m2": "validation", "m3": "train"}


def test_tables_of_other_modules_are_refused(tmp_path: Path, clusters: Path, splits: Path) -> None:
    found = write(tmp_path / "found.parquet", module_id=["m1", "m3", "m2"], contaminated=[False, False, True])

    with pytest.raises(AssertionError, match="clusters and contamination"):
        ModuleFates(clusters, splits, found)
