"""Read the PyTorch modules that specifications are written for and that rollouts start from.

Reads `ingest_modules.path`: modules in KernelBook's columns, or rollouts, whose distinct modules are taken. Writes
`modules` (one row per distinct code and name, in the order of their first row) and `rejects`.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.shared import stage, table
from stages.shared.accounting import balance
from stages.shared.code.syntax import entry_point
from stages.shared.formats.fields import optional, required_text, texts
from stages.shared.formats.rejects import Rejects
from stages.shared.formats.rollouts import INFO_COLUMNS, normalise, read_rollouts
from stages.shared.formats.rows_file import SourceRow
from stages.shared.records import MODULES, extra_json, module_id

COLUMNS = INFO_COLUMNS | {"synthetic": bool}


class Params(stage.Params):
    path: str
    """File or folder of modules or rollouts; `data/sample/none` for no modules."""
    max_reject_fraction: float = Field(ge=0.0, le=1.0)
    """Fail when a larger share of the rows is rejected."""


def module(row: SourceRow) -> dict[str, Any]:
    """The columns of one source row; `from_rollout` says that other rows of the module are not copies of it.

    Raises:
        ValueError: field and what was expected.
    """
    if row.value is None:
        raise ValueError(row.problem)
    from_rollout = "python_code" not in row.value
    fields = dict(normalise(row.value) if from_rollout else row.value)
    columns: dict[str, Any] = {name: required_text(fields, name) for name in ("module_name", "python_code")}
    columns |= {name: optional(fields, name, kind) for name, kind in COLUMNS.items()}
    columns["entry_point"] = optional(fields, "entry_point", str) or entry_point(columns["python_code"])
    columns["licenses"] = texts(fields, "licenses")
    if "copies" in fields:
        raise ValueError("copies: expected no field of this name, it is where the other rows of a module are kept")
    columns |= {"source": row.file, "source_revision": row.revision}
    columns["extra"] = {} if from_rollout else {key: value for key, value in fields.items() if value is not None}
    return columns | {
        "from_rollout": from_rollout,
        "module_id": module_id(columns["python_code"], columns["module_name"]),
    }


def merge(first: dict[str, Any] | None, columns: dict[str, Any]) -> dict[str, Any]:
    """Add a source row to its module: what differs from the first row is kept under `copies` in `extra`."""
    own = {key: value for key, value in columns.items() if key not in ("uuid", "from_rollout")}
    if first is None:
        return own | {"uuids": [columns["uuid"]], "n_rows": 1}
    if not columns["from_rollout"]:
        first["n_rows"] += 1
        first["uuids"].append(columns["uuid"])
        copies = first["extra"].setdefault("copies", [])
        copies.append({k: v for k, v in own.items() if k != "extra" and v != first[k]} | own["extra"])
    return first


def run(params: Params, *, path: Path, modules: Path, rejects: Path) -> stage.Metrics:
    """Ingest modules."""
    rejected = Rejects("ingest_modules")
    found: dict[str, dict[str, Any]] = {}
    rows_in = 0
    for row in read_rollouts(path):
        rows_in += 1
        try:
            columns = module(row)
            extra_json(columns["extra"])
        except ValueError as error:
            rejected.add(row, str(error))
            continue
        found[columns["module_id"]] = merge(found.get(columns["module_id"]), columns)
    rejected.check(rows_in, params.max_reject_fraction)
    with table.writing(modules, MODULES) as writer:
        for columns in found.values():
            writer.write(columns | {"extra": extra_json(columns["extra"])})
        rejected.write(rejects)
    merged = rows_in - len(found) - len(rejected.rows)
    fates = Counter[str | None]({None: len(found), "same_module": merged, "rejected": len(rejected.rows)})
    return balance(fates, rows_in)


if __name__ == "__main__":
    stage.main(run)
