"""The measurements of a bench as Markdown."""

from collections.abc import Mapping, Sequence
from statistics import median

from tests.bench.measured_process import Measured

Runs = Mapping[str, Sequence[Measured]]
"""Measurements of each stage or step, one a run."""

SAME_WORK = {
    "filter": ("ingest", "filter_reward", "rate_difficulty"),
    "dedupe": ("dedupe",),
    "analyze": ("measure_lengths",),
    "remove_reasoning": ("build@filtered-no-reasoning", "build@unique-no-reasoning"),
    "split": ("split", "build@filtered", "build@unique"),
}
"""The stages that do, among other things, what a step of the baseline does."""


def stages_table(stages: Runs) -> str:
    """Every stage, and the whole pipeline: the sum of the times and the largest peak."""
    rows = [[name, *_shown(total(stages, [name]))] for name in stages]
    return _table(["stage", "wall s", "peak MB"], [*rows, ["all", *_shown(total(stages, list(stages)))]])


def steps_table(steps: Runs, stages: Runs, analyzed: int, per_token: float) -> str:
    """Every step of the baseline beside the stages that do the same.

    Args:
        steps: measurements of the baseline.
        stages: measurements of the pipeline.
        analyzed: rows that `analyze` was given; it is compared by tokens, not by wall time.
        per_token: how many times faster `measure_lengths` is than `analyze` for each token.
    """
    rows = []
    for name in steps:
        took, same = total(steps, [name]), total(stages, SAME_WORK[name])
        step, ratio = name, f"{took.seconds / same.seconds:.1f}"
        if name == "analyze":
            step, ratio = f"analyze, {analyzed:,} rows", f"{per_token:.1f} a token"
        rows.append([step, *_shown(took), ", ".join(SAME_WORK[name]), *_shown(same), ratio])
    return _table(["plain step", "wall s", "peak MB", "stages", "wall s", "peak MB", "times faster"], rows)


def total(runs: Runs, names: Sequence[str]) -> Measured:
    """Median over the runs of the sum of the times, and of the largest peak, of some stages."""
    taken = list(zip(*(runs[name] for name in names), strict=True))
    return Measured(
        median(sum(one.seconds for one in run) for run in taken),
        median(max(one.peak_mb for one in run) for run in taken),
    )


def _shown(measured: Measured) -> list[str]:
    return [f"{measured.seconds:.1f}", f"{measured.peak_mb:,.0f}"]


def _table(head: list[str], rows: list[list[str]]) -> str:
    marks = ["---" if i == 0 or name == "stages" else "---:" for i, name in enumerate(head)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, marks, *rows])
