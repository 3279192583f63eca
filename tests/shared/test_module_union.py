from pathlib import Path

import pyarrow as pa

from stages.shared import table
from stages.shared.module_union import Module, module_union

SCHEMA = pa.schema([(name, pa.string()) for name in ("other", "python_code", "module_name", "module_id")])


def write(path: Path, modules: list[Module]) -> Path:
    with table.writing(path, SCHEMA) as writer:
        for module in modules:
            writer.write({"other": "x", **module._asdict()})
    return path


def test_modules_come_first_then_those_that_only_rollouts_have(tmp_path: Path) -> None:
    a, b, c, d = (Module(f"id_{name}", name, f"class {name}: pass") for name in "abcd")
    modules = write(tmp_path / "modules.parquet", [c, a])
    records = write(tmp_path / "records.parquet", [d, a, b, d, c])

    assert list(module_union(modules, records)) == [c, a, d, b]


def test_a_row_of_the_second_batch_is_known_from_the_first(tmp_path: Path) -> None:
    rows = [Module(f"m{i % 700}", "A", "code") for i in range(2500)]
    modules, records = write(tmp_path / "modules.parquet", []), write(tmp_path / "records.parquet", rows)

    assert [module.module_id for module in module_union(modules, records)] == [f"m{i}" for i in range(700)]
