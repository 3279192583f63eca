"""Give each answer a verdict and flag what looks like a cheat.

Reads the answers and modules of `records`; writes `verdicts`, one row per record in input order. Mode `static` reads
syntax trees alone: it never says that an answer is right. The other modes run the answers, and keep each judgement in
the store of replies; `responses` holds those that were used.
"""

import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pyarrow as pa
from pydantic import Field

from stages.shared import engine, stage, table
from stages.shared.accounting import balance
from stages.shared.kernels.failures import explain, kind
from stages.shared.kernels.static import Inspection, inspect_answer
from stages.shared.records import TEXTS
from stages.shared.responses.responses_file import writing_responses

if TYPE_CHECKING:
    from stages.shared.responses.response_store import StoredReply

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
        ("speedup", pa.float64()),
    ]
)
READS = ["row_id", "answer", "entry_point", "module_name", "reward"]
SKIPPED = Inspection("unknown", detail=explain("not_looked_at", "the reward is below verify.min_reward"))


class Params(stage.Params):
    mode: Literal["static", "interpret", "cuda"]
    """How answers are checked: `static` reads the code without running it, `interpret` runs it on the CPU, `cuda` runs
    and times it on a GPU."""
    min_reward: float = Field(ge=0.0, allow_inf_nan=False)
    """Rows with a lower reward are not looked at (verdict `unknown`); 0 looks at all."""
    timeout_s: float = Field(gt=0.0, allow_inf_nan=False)
    """CPU seconds that an answer may take; the verdict of one that takes longer is `unknown`."""


def skipped(record: dict[str, Any], min_reward: float) -> bool:
    """Whether no cutoff will keep the record, so that it need not be looked at."""
    return min_reward > 0 and (record["reward"] is None or record["reward"] < min_reward)


def verdict(job: tuple[dict[str, Any], float]) -> dict[str, Any]:
    """The row of `verdicts` for a record in mode `static`; `job` is the record and `min_reward`."""
    record, min_reward = job
    found = SKIPPED
    if not skipped(record, min_reward):
        found = inspect_answer(record["answer"], record["entry_point"], record["module_name"])
    return {
        "row_id": record["row_id"],
        "verdict": found.verdict,
        "has_kernel": found.has_kernel,
        "flags": found.flags,
        "torch_ops": found.torch_ops,
        "detail": found.detail,
    }


def read(records: Path, *columns: str) -> Iterator[dict[str, Any]]:
    """The records with what every mode reads and the named columns, in input order."""
    return (row for batch in table.batches(records, [*READS, *columns]) for row in batch.to_pylist())


def static_rows(params: Params, records: Path) -> Iterator[tuple[dict[str, Any], None]]:
    """The rows of `verdicts` in mode `static`, which uses no judgement."""
    rows = engine.map_rows(verdict, ((row, params.min_reward) for row in read(records)))
    return ((row, None) for row in rows)


def judged_rows(params: Params, records: Path) -> Iterator[tuple[dict[str, Any], "StoredReply | None"]]:
    """The rows of `verdicts` in the modes that run the answers, with the judgement of each that has one."""
    # Mode static needs neither the engine nor the store.
    from stages.shared.kernels.judgements import judged  # noqa: PLC0415
    from stages.shared.kernels.verdict import Job  # noqa: PLC0415

    def job(record: dict[str, Any]) -> Job:
        return Job(record["python_code"], record["entry_point"], record["module_name"], record["answer"])

    def jobs() -> Iterator[Job]:
        return (job(row) for row in read(records, "python_code") if not skipped(row, params.min_reward))

    assert params.mode != "static"
    with judged("verify", params.mode, params.timeout_s, jobs) as judgements:
        for record in read(records, "python_code"):
            if skipped(record, params.min_reward):
                yield verdict((record, params.min_reward)), None
            else:
                # How long it took is another number in every run.
                reply = msgspec.structs.replace(judgements.of(job(record)), elapsed_ms=None)
                yield {"row_id": record["row_id"], **reply.reply}, reply


def run(params: Params, *, records: Path, verdicts: Path, responses: Path) -> stage.Metrics:
    """Verify answers."""
    counts = {name: Counter[str]() for name in ("verdict", "flag", "torch_op", "failure", "launches")}
    speedups: list[float] = []

    def used(writer: table.TableWriter) -> Iterator["StoredReply"]:
        for row, reply in (static_rows if params.mode == "static" else judged_rows)(params, records):
            writer.write(row)
            counts["verdict"][row["verdict"]] += 1
            counts["flag"].update(row["flags"])
            counts["torch_op"].update(row["torch_ops"])
            counts["failure"].update([kind(row["detail"])] if row["detail"] else [])
            counts["launches"].update([str(row["launches"])] if row.get("launches") is not None else [])
            speedups.extend([row["speedup"]] if row.get("speedup") is not None else [])
            if reply:
                yield reply

    with table.writing(verdicts, VERDICTS) as writer:
        judgements = sum(1 for _ in writing_responses(responses, used(writer)))
    metrics = {
        **balance(Counter({None: writer.n_rows})),
        **{name: dict(values) for name, values in counts.items()},
        "judgements": judgements,
    }
    if speedups:
        metrics["speedup"] = {"median": statistics.median(speedups), "faster": sum(value > 1 for value in speedups)}
    return metrics


if __name__ == "__main__":
    stage.main(run)
