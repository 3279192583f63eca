"""Rate how hard each kept module is to write as a kernel: low, medium or high.

Reads the modules' code of `records` for the rows that `kept` keeps; writes `difficulty`, one row per kept row in input
order. The rater `static` counts heavy operations in the syntax tree: an honest baseline, named in every row.
"""

from collections import Counter
from pathlib import Path
from typing import Literal

import pyarrow as pa

from stages.shared import reachable, stage, table
from stages.shared.accounting import balance
from stages.shared.records import TEXTS
from stages.shared.syntax import module_classes, parse
from stages.shared.torch_ops import KIND_OF, torch_ops

DIFFICULTY = pa.schema(
    [
        ("row_id", pa.string()),
        ("difficulty", pa.string()),
        ("rater", pa.string()),
        ("evaluation_raw", pa.string()),
        ("static_difficulty", pa.string()),
        ("votes", TEXTS),
        ("agreement", pa.float64()),
        ("request_keys", TEXTS),
    ]
)
MANY_OPERATIONS = 3


class Params(stage.Params):
    rater: Literal["static"]
    """Who rates: `static` reads the code."""


def static_difficulty(python_code: str, entry_point: str | None) -> tuple[str | None, str]:
    """Rate a module by the heavy operations that its `forward` reaches, and say why.

    low: none (a copy, elementwise arithmetic). medium: one, or two of one kind (a reduction, a matrix product).
    high: two kinds or `MANY_OPERATIONS` (fused operations), attention, recurrence, full models.

    Returns:
        The difficulty, None for code that cannot be read, and the reason.
    """
    tree = parse(python_code)
    classes = {node.name: node for node in module_classes(tree)} if tree else {}
    if tree is None or not classes:
        return None, "static: the code shows no nn.Module class"
    operations = torch_ops(reachable.functions(tree, classes.get(entry_point or "") or list(classes.values())[-1]))
    kinds = {KIND_OF[name] for name in operations}
    if not operations:
        return "low", "static: low, no heavy operation"
    fused = len(kinds) > 1 or len(operations) >= MANY_OPERATIONS or bool(kinds & {"attention", "recurrent"})
    difficulty = "high" if fused else "medium"
    return difficulty, f"static: {difficulty}, heavy operations: {', '.join(operations)}"


def run(params: Params, *, records: Path, kept: Path, difficulty: Path) -> stage.Metrics:
    """Rate difficulty."""
    verdicts = table.read(kept, ["row_id", "kept"])
    keep = verdicts["kept"].to_pylist()
    rated: dict[str, tuple[str | None, str]] = {}
    counts: Counter[str] = Counter()
    position = 0
    with table.writing(difficulty, DIFFICULTY) as writer:
        for batch in table.batches(records, ["row_id", "module_id", "python_code", "entry_point"]):
            chosen = pa.array(keep[position : position + batch.num_rows])
            table.assert_same_keys(
                batch["row_id"], verdicts["row_id"][position : position + batch.num_rows], "records and kept"
            )
            position += batch.num_rows
            for row in batch.filter(chosen).to_pylist():
                if row["module_id"] not in rated:
                    rated[row["module_id"]] = static_difficulty(row["python_code"], row["entry_point"])
                value, reason = rated[row["module_id"]]
                counts[value or "unrated"] += 1
                votes = [value] if value else []
                columns = {
                    "difficulty": value,
                    "static_difficulty": value,
                    "votes": votes,
                    "agreement": 1.0 if value else None,
                }
                writer.write(
                    {
                        "row_id": row["row_id"],
                        "rater": params.rater,
                        "evaluation_raw": reason,
                        "request_keys": [],
                        **columns,
                    }
                )
    return {
        **balance(Counter({None: writer.n_rows}), rows_in=sum(keep)),
        "difficulty": dict(counts),
        "modules": len(rated),
    }


if __name__ == "__main__":
    stage.main(run)
