"""Give each answer a verdict and flag what looks like a cheat.

Reads the answers and modules' names of `records`; writes `verdicts`, one row per record in input order. Mode `static`
reads syntax trees alone: it never says that an answer is right.
"""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from pydantic import Field

from stages.shared import engine, stage, table
from stages.shared.accounting import balance
from stages.shared.kernels.static import Inspection, inspect_answer
from stages.shared.records import TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterator

VERDICTS = pa.schema(
    [
        ("row_id", pa.string()),
        ("verdict", pa.string()),
        ("has_kernel", pa.bool_()),
        ("launches", pa.int64()),
        ("compiles", pa.bool_()),
        ("correct", pa.bool_()),
        ("flags", TEXTS),
        ("torch_ops", TEXTS),
        ("detail", pa.string()),
    ]
)
READS = ["row_id", "answer", "entry_point", "module_name", "reward"]


class Params(stage.Params):
    mode: Literal["static"]
    """How answers are checked: `static` reads the code without running it."""
    min_reward: float = Field(ge=0.0, allow_inf_nan=False)
    """Rows with a lower reward are not looked at (verdict `unknown`); 0 looks at all."""


def verdict(job: tuple[dict[str, Any], float]) -> dict[str, Any]:
    """The row of `verdicts` for a record; `job` is the record and `min_reward`."""
    record, min_reward = job
    if min_reward > 0 and (record["reward"] is None or record["reward"] < min_reward):
        found = Inspection("unknown", detail="not looked at: the reward is below verify.min_reward")
    else:
        found = inspect_answer(record["answer"], record["entry_point"], record["module_name"])
    return {
        "row_id": record["row_id"],
        "verdict": found.verdict,
        "has_kernel": found.has_kernel,
        "flags": found.flags,
        "torch_ops": found.torch_ops,
        "detail": found.detail,
    }


def run(params: Params, *, records: Path, verdicts: Path) -> stage.Metrics:
    """Verify answers."""
    rows: Iterator[dict[str, Any]] = (row for batch in table.batches(records, READS) for row in batch.to_pylist())
    counts = {name: Counter[str]() for name in ("verdict", "flag", "torch_op")}
    with table.writing(verdicts, VERDICTS) as writer:
        for row in engine.map_rows(verdict, ((row, params.min_reward) for row in rows)):
            writer.write(row)
            counts["verdict"][row["verdict"]] += 1
            counts["flag"].update(row["flags"])
            counts["torch_op"].update(row["torch_ops"])
    return {**balance(Counter({None: writer.n_rows})), **{name: dict(values) for name, values in counts.items()}}


if __name__ == "__main__":
    stage.main(run)
