"""Read rollouts of every known shape into one table.

Reads `ingest.base`; writes `records` (one row per rollout, in input order) and `rejects` (rows that are not what they
should be, with file, line and reason).
"""

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.shared import stage, table
from stages.shared.accounting import balance
from stages.shared.code.syntax import entry_point
from stages.shared.formats.rejects import Rejects
from stages.shared.formats.rollouts import normalise, read_rollouts
from stages.shared.formats.rows_file import SourceRow, source_files
from stages.shared.records import RECORDS, RowIds, module_id

SCORINGS = frozenset(f"{mode}, {formula}" for mode in ("interpret", "cuda") for formula in ("coverage", "speedup"))
"""How step 0 may score: mode and formula."""


class Params(stage.Params):
    base: str
    """File or folder of rollouts."""
    limit: int | None = Field(ge=1)
    """Read only the first rows, for a quick trial; null for all."""
    max_reject_fraction: float = Field(ge=0.0, le=1.0)
    """Fail when a larger share of the rows is rejected."""


def record(row: SourceRow, position: int, ids: RowIds, entry_points: dict[str, str | None]) -> dict[str, Any]:
    """A row of `records`.

    Args:
        row: as read from its file.
        position: 0-based place in the input.
        ids: gives each content its identity.
        entry_points: of the modules seen so far, by module id; filled on the way.

    Raises:
        ValueError: field and what was expected.
    """
    if row.value is None:
        raise ValueError(row.problem)
    columns = normalise(row.value)
    module = module_id(columns["python_code"], columns["module_name"])
    if columns["entry_point"] is None:
        if module not in entry_points:
            entry_points[module] = entry_point(columns["python_code"])
        columns["entry_point"] = entry_points[module]
    if columns["example_id"] is None:
        columns["example_id"] = position
    row_id, repeat_of = ids.next(*(columns[name] for name in ("prompt", "content", "reasoning", "python_code")))
    identity = {"row_id": row_id, "repeat_of": repeat_of, "module_id": module, "position": position}
    return columns | identity | {"source": row.file, "source_revision": row.revision}


def made_here(row: dict[str, Any]) -> tuple[str, str] | None:
    """The model, and the mode and formula of the reward, of a row that step 0 wrote; None of another."""
    model, scoring = row.get("model"), f"{row.get('mode')}, {row.get('formula')}"
    return (model, scoring) if isinstance(model, str) and scoring in SCORINGS else None


def run(params: Params, *, base: Path, records: Path, rejects: Path) -> stage.Metrics:
    """Ingest rollouts."""
    if not source_files(base):
        raise ValueError(f"{base}: the folder holds no rollouts (JSONL or Parquet)")
    rejected = Rejects("ingest")
    ids, entry_points = RowIds(), dict[str, str | None]()
    counts = {name: Counter[str]() for name in ("source_format", "answer_format", "reasoning", "copy")}
    made = {name: Counter[str]() for name in ("model", "scoring")}
    rows_in = 0
    with table.writing(records, RECORDS) as writer:
        for position, row in enumerate(islice(read_rollouts(base), params.limit)):
            rows_in += 1
            try:
                columns = record(row, position, ids, entry_points)
            except ValueError as error:
                rejected.add(row, str(error))
                continue
            writer.write(columns)
            counts["source_format"][columns["source_format"]] += 1
            counts["answer_format"][columns["answer_format"] or "none"] += 1
            counts["reasoning"]["present" if columns["reasoning"] else "none"] += 1
            counts["copy"]["repeat" if columns["repeat_of"] else "first"] += 1
            if found := made_here(row.value or {}):
                made["model"][found[0]] += 1
                made["scoring"][found[1]] += 1
        rejected.check(rows_in, params.max_reject_fraction)
        rejected.write(rejects)
    fates = Counter[str | None]({None: writer.n_rows, "rejected": len(rejected.rows)})
    told = counts | {name: values for name, values in made.items() if values}
    return {**balance(fates, rows_in), **{name: dict(values) for name, values in told.items()}}


if __name__ == "__main__":
    stage.main(run)
