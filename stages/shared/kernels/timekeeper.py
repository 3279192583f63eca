"""Time answers on a GPU, one at a time, and give the speedup that the parent's own measurements bear out."""

import hashlib
import random
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import msgspec
import numpy as np

from stages.shared.kernels.failures import explain
from stages.shared.kernels.flags import Flag
from stages.shared.kernels.sandbox.fork_server import ForkServer
from stages.shared.kernels.sandbox.limits import Limits
from stages.shared.kernels.sandbox.outcome import Ending, Outcome
from stages.shared.kernels.speedup import Claims, believe
from stages.shared.kernels.tensors import Tensor, Value, array, leaves
from stages.shared.kernels.timing import Lap
from stages.shared.kernels.timing_reports import Laps, RowBegins, RowEnds, Shown, TimingTask, read_timing
from stages.shared.kernels.verdict import Judgement

LAPS = 60
BUDGET_S = 3.0
SHOWN = 2
"""Of the first ten laps, which are always run."""
_KEPT = 16
_ENDED: dict[Ending, list[Flag]] = {"timeout": ["timeout"], "crashed": ["crash"], "exited": ["forged_exit"]}
"""Flags of an answer whose timing did not end; too much memory or output is none."""
_LOOSE = 0.02
"""Timed calls run with PyTorch's default settings, in which a convolution may round to TF32."""


@dataclass(frozen=True)
class Timed:
    """What timing adds to a judgement."""

    speedup: float | None
    flags: list[Flag]
    wrong: bool = False
    """A timed call did not return what the module returns for its inputs."""


class Timekeeper:
    """Remembers how long modules take alone. Used by one thread at a time, while nothing else runs on the GPU."""

    def __init__(self) -> None:
        self._alone: OrderedDict[bytes, tuple[list[Lap], dict[int, Value]] | None] = OrderedDict()

    def time(self, server: ForkServer, task: TimingTask, limits: Limits) -> Timed:
        """Time an answer that is right.

        Args:
            server: runs `time` of the tasks; its process has not touched the GPU.
            task: module and answer; seeds and shown laps are chosen here.
            limits: of a child.
        """
        task = planned(task)
        alone = self._module_alone(server, task, limits)
        if alone is None:
            return Timed(None, [])
        return timed(server.run("time", msgspec.msgpack.encode(task), limits), *alone)

    def _module_alone(
        self, server: ForkServer, task: TimingTask, limits: Limits
    ) -> tuple[list[Lap], dict[int, Value]] | None:
        payload = msgspec.msgpack.encode(msgspec.structs.replace(task, answer=None, names=[]))
        if payload not in self._alone:
            outcome = server.run("time", payload, limits)
            reports = read_timing(outcome.frames) if outcome.ending == "done" else []
            laps = [report.reference for report in reports if isinstance(report, Laps)]
            self._alone[payload] = (laps[0], _shown(reports)) if laps else None
            while len(self._alone) > _KEPT:
                self._alone.popitem(last=False)
        self._alone.move_to_end(payload)
        return self._alone[payload]


def with_time(judgement: Judgement, found: Timed) -> Judgement:
    """The judgement of a right answer with what timing adds to it."""
    flags = {*judgement.flags, *found.flags}
    told = replace(judgement, speedup=found.speedup, flags=[flag for flag in get_args(Flag) if flag in flags])
    if not found.wrong:
        return told
    why = explain("values", "a call that was timed did not return what the module returns for its inputs")
    return replace(told, verdict="wrong", correct=False, detail=why)


def planned(task: TimingTask) -> TimingTask:
    """The task with its seeds and shown laps, which are the same in every run and differ between modules."""
    draw = random.Random(hashlib.sha256(task.subject.python_code.encode()).digest())  # noqa: S311 - no secret
    seeds = [draw.randrange(1 << 31) for _ in range(LAPS)]
    return msgspec.structs.replace(task, seeds=seeds, shown=sorted(draw.sample(range(10), SHOWN)), budget_s=BUDGET_S)


def timed(outcome: Outcome, alone: Sequence[Lap], expected: dict[int, Value]) -> Timed:
    """What the outcome of an answer's child is worth."""
    reports = read_timing(outcome.frames)
    given = _shown(reports)
    if not all(alike(expected[lap], output) for lap, output in given.items() if lap in expected):
        return Timed(None, ["cached_output"], wrong=True)
    if outcome.ending != "done":
        return Timed(None, _ENDED.get(outcome.ending, []))
    row = [(report, at) for report, at in zip(reports, outcome.times, strict=False) if _marks_row(report)]
    laps = [report for report in reports if isinstance(report, Laps)]
    if len(laps) != 1 or len(row) != 2 or not isinstance(row[0][0], RowBegins) or given.keys() != expected.keys():
        return Timed(None, ["patched_checker"])
    took_ms = 1e3 * (row[1][1] - row[0][1])
    belief = believe(Claims(laps[0].reference, laps[0].answer, row[0][0].times, took_ms), alone)
    return Timed(belief.speedup, ["patched_checker"] if belief.tampered else [])


def alike(expected: Value, given: Value) -> bool:
    """Whether two results come from the same inputs: as large, and nowhere far apart. Says nothing of precision."""
    wanted, got = leaves(expected), leaves(given)
    return len(wanted) == len(got) and all(map(_leaves_alike, wanted, got))


def _leaves_alike(wanted: Value, got: Value) -> bool:
    if not isinstance(wanted, Tensor) or not isinstance(got, Tensor):
        return type(wanted) is type(got)
    try:
        a, b = (array(tensor).reshape(-1).astype(np.complex128) for tensor in (wanted, got))
    except ValueError:
        return False
    if a.shape != b.shape:
        return False
    finite = np.isfinite(a)
    scale = np.max(np.abs(a), initial=0.0, where=finite)
    with np.errstate(invalid="ignore"):
        return bool(np.all(np.abs(a - b)[finite] <= _LOOSE * scale)) and bool(np.all(finite == np.isfinite(b)))


def _shown(reports: Sequence[object]) -> dict[int, Value]:
    return {report.lap: report.output for report in reports if isinstance(report, Shown)}


def _marks_row(report: object) -> bool:
    return isinstance(report, RowBegins | RowEnds)
