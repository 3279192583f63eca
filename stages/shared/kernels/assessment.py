"""From what the children told to a verdict and its flags; nothing that an answer says of itself makes it right."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from stages.shared.code.torch_ops import KIND_OF
from stages.shared.kernels.compare import Difference, Likeness, compare, is_uniform, is_zero
from stages.shared.kernels.failures import explain
from stages.shared.kernels.flags import Flag
from stages.shared.kernels.reports import CASES, COMPARED, Case, Compiled, Expected, Refused, Report, Run, Setting
from stages.shared.kernels.sandbox.fork_server import Ending
from stages.shared.kernels.static import Inspection
from stages.shared.kernels.verdict import Judgement

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_STAYING: frozenset[str] = frozenset({"no_kernel", "exception_fallback", "patched_checker"})
"""Flags of the syntax tree that no run takes back."""
_UNTIL_RUN: frozenset[str] = frozenset({"no_launch", "torch_fallback"})
"""Flags of the syntax tree that a run knows better. The others mean what may happen, and a run shows what does."""
_ENDED: dict[Ending, str] = {
    "timeout": "timeout",
    "exited": "forged_exit",
    **dict.fromkeys(("crashed", "memory", "output"), "crash"),
}
"""Flags of an answer that is right, but did not get to the cases that show how it came to its results."""


@dataclass(frozen=True)
class Module:
    """How the module behaved."""

    setting: Setting
    expected: dict[tuple[Case, bool], Expected]
    """By case and mode: True is evaluation."""


@dataclass(frozen=True)
class Told:
    """What came from a child, and how it ended."""

    reports: Sequence[Report]
    ending: Ending
    detail: str = ""
    whole: bool = True
    """Nothing came that is no report."""


@dataclass
class _Finding:
    correct: bool | None
    detail: str | None = None
    flags: set[str] = field(default_factory=set)


def assess(inspection: Inspection, module: Module, told: Told, compiled: Told | None) -> Judgement:
    """The judgement of an answer that has an entry point.

    Args:
        inspection: what its syntax tree shows.
        module: what it is compared with.
        told: of its runs.
        compiled: of the kernels that it launches; None where it was not asked for.
    """
    runs = _runs(told)
    first = runs.get("first")
    has_run = first is not None and first.failure is None
    found = _correctness(module, runs, told)
    found.flags |= {flag for flag in inspection.flags if flag in _STAYING or (flag in _UNTIL_RUN and not has_run)}
    found.flags |= _module_signals(module)
    if first and has_run:
        found.flags |= _run_signals(module, runs, first, told, correct=bool(found.correct))
        if found.correct and told.ending in _ENDED and not _ended_in_alternate(runs):
            found.flags.add(_ENDED[told.ending])
        # What was kept from the first call hides that later ones launch nothing; zeros come from no work too.
        found.flags -= {"decoy_launch", "training_only_kernel"} if "cached_output" in found.flags else set()
        found.flags -= {"decoy_launch"} if "zero_reference" in found.flags else set()
    if any(run.tampered for run in runs.values()) or _is_forged(told):
        found.flags.add("patched_checker")
    verdict = "unknown" if found.correct is None else "ok" if found.correct else "wrong"
    compiles = None
    if compiled:
        compiles, refusal = _compilation(compiled)
        if found.correct and compiles is None:
            verdict, found.detail = "unknown", refusal
            found.flags |= {"timeout"} if compiled.ending == "timeout" else set()
        elif compiles is False and found.correct is not False:
            # Also where the runs say nothing: what no GPU takes cannot be right.
            falls_back = _falls_back(module, compiled)
            found.flags |= {"exception_fallback"} if falls_back else set()
            verdict, found.detail = (verdict, found.detail) if falls_back else ("wrong", refusal)
    return Judgement(
        verdict=verdict,
        has_kernel=bool(inspection.has_kernel) or launches(told),
        launches=len(first.kernels) if first else None,
        compiles=compiles,
        correct=found.correct,
        flags=[flag for flag in get_args(Flag) if flag in found.flags],
        torch_ops=[name for name in first.torch_ops if name in KIND_OF] if first and has_run else inspection.torch_ops,
        detail=found.detail,
    )


def launches(told: Told) -> bool:
    """Whether a run launched a kernel, or tried to."""
    return any(isinstance(report, Run) and (report.kernels or report.failure == "launch") for report in told.reports)


def mode_of(module: Module, told: Told) -> bool:
    """The mode of nn.Module in which a right answer is like the module: True is evaluation."""
    return next(mode for mode in module.setting.evaluation if _difference(module, _runs(told), mode) is None)


def clean(text: str) -> str:
    """Text of an exception as it is in every run: without addresses."""
    return _ADDRESS.sub("0x0", text)


def _is_forged(told: Told) -> bool:
    """Whether something else than the runs of the cases, each once and in order, was told."""
    cases = [report.case for report in told.reports if isinstance(report, Run)]
    return not told.whole or cases != [case for case in CASES if case in cases] or len(cases) != len(told.reports)


def _runs(told: Told) -> dict[Case, Run]:
    runs: dict[Case, Run] = {}
    for report in told.reports:
        if isinstance(report, Run):
            runs.setdefault(report.case, report)
    return runs


def _correctness(module: Module, runs: dict[Case, Run], told: Told) -> _Finding:
    """Whether the answer is right, from structure, dtypes, shapes and numbers alone."""
    for case in COMPARED:
        run = runs.get(case)
        if run is None and not (case == "second" and module.setting.stateless):
            return _unfinished(told)
        if run and run.failure:
            return _failed(run)
    found = [_difference(module, runs, evaluation) for evaluation in module.setting.evaluation]
    if None in found:
        return _Finding(correct=True)
    assert found[0] is not None
    case, difference = found[0]
    if module.setting.random:
        return _Finding(
            correct=None, detail=explain("unsupported", f"the module's result is random; {difference.text}")
        )
    stale = case != "first" and runs[case].output == runs["first"].output
    return _Finding(
        correct=False, detail=explain(difference.failure, difference.text), flags={"cached_output"} if stale else set()
    )


def _unfinished(told: Told) -> _Finding:
    match told.ending:
        case "timeout":
            return _Finding(correct=None, detail=explain("timeout", told.detail), flags={"timeout"})
        case "memory":
            return _Finding(correct=None, detail=explain("memory", clean(told.detail)))
        case "output":
            return _Finding(correct=None, detail=explain("output", told.detail))
        case "crashed":
            return _Finding(correct=False, detail=explain("crash", clean(told.detail)), flags={"crash"})
    return _Finding(
        correct=False, detail=explain("exit", "it ended the process before its work was done"), flags={"forged_exit"}
    )


def _failed(run: Run) -> _Finding:
    assert run.failure
    text = f"{run.raised}: {clean(run.text)}" if run.failure == "launch" else clean(run.text)
    detail = explain(run.failure, text, raised=run.raised if run.failure == "exception" else None)
    if run.failure in {"unsupported", "memory"}:
        return _Finding(correct=None, detail=detail)
    return _Finding(correct=False, detail=detail, flags={"forged_exit"} if run.failure == "exit" else set())


def _difference(module: Module, runs: dict[Case, Run], evaluation: bool) -> tuple[Case, Difference] | None:
    for case in COMPARED:
        if case in runs:
            difference = _likeness(module, runs[case], evaluation).difference
            if difference:
                return case, difference
    return None


def _likeness(module: Module, run: Run, evaluation: bool) -> Likeness:
    expected = module.expected.get((run.case, evaluation))
    if expected is None or run.output is None:
        return Likeness(Difference("structure", "there is nothing to compare"))
    try:
        return compare(expected.output, run.output, expected.noise)
    except ValueError as error:
        return Likeness(Difference("structure", str(error)))


def _module_signals(module: Module) -> set[str]:
    mode = module.setting.evaluation[0]
    first, again, second = (module.expected.get((case, mode)) for case in COMPARED)
    if first is None or again is None:
        return set()
    flags = set()
    if is_zero(first.output, first.noise) and is_zero(again.output, again.noise):
        flags.add("zero_reference")
    others = [other for other in (again, second) if other]
    unmoved = module.setting.varies and all(not compare(first.output, other.output).difference for other in others)
    if unmoved or is_uniform(first.output):
        flags.add("constant_reference")
    return flags


def _run_signals(module: Module, runs: dict[Case, Run], first: Run, told: Told, *, correct: bool) -> set[str]:
    mode = module.setting.evaluation[0]
    ghost, poison, other = runs.get("ghost"), runs.get("poison"), runs.get("evaluation")
    changed = [(run.changed, module.expected.get((case, mode))) for case, run in runs.items() if case in COMPARED]
    likenesses = [
        _likeness(module, runs[case], evaluation)
        for case in COMPARED
        for evaluation in module.setting.evaluation
        if case in runs
    ]
    signals = {
        "no_launch": not first.kernels,
        "decoy_launch": bool(first.kernels) and ghost is not None and ghost.output == first.output,
        "torch_fallback": bool(first.torch_ops),
        "exception_fallback": first.swallowed > 0,
        "in_place_input": any(set(places) - set(expected.changed if expected else ()) for places, expected in changed),
        "uninitialised_memory": poison is not None and poison.output != first.output,
        "training_only_kernel": bool(first.kernels) and other is not None and not (other.failure or other.kernels),
        "shape_specialised": correct and _is_specialised(module, runs, told),
        "shape_rank": correct and any(likeness.rank_differs for likeness in likenesses),
    }
    return {flag for flag, seen in signals.items() if seen}


def _ended_in_alternate(runs: Mapping[Case, Run]) -> bool:
    """Whether a child that did not end well got as far as the last case: the ghost comes before, if it launches."""
    return "ghost" in runs or not runs["first"].kernels


def _is_specialised(module: Module, runs: Mapping[Case, Run], told: Told) -> bool:
    """Whether the answer fails for another batch size, which the module does not."""
    run = runs.get("alternate")
    modes = [mode for mode in module.setting.evaluation if ("alternate", mode) in module.expected]
    if not modes:
        return False
    if run is None:
        return told.ending in {"crashed", "exited"} and _ended_in_alternate(runs)
    return run.failure not in {"unsupported", "memory"} and all(
        _likeness(module, run, mode).difference is not None for mode in modes
    )


def _compilation(told: Told) -> tuple[bool | None, str | None]:
    """Whether a GPU takes every kernel, and why not."""
    compiled = {report.capability for report in told.reports if isinstance(report, Compiled)}
    refused = {report.capability: report for report in reversed(told.reports) if isinstance(report, Refused)}
    if told.ending == "timeout":
        return None, explain("timeout", f"while compiling: {told.detail}")
    if told.ending in {"memory", "output"}:
        return None, explain(told.ending, f"while compiling: {clean(told.detail)}")
    if compiled - refused.keys():
        return True, None
    if refused:
        best = refused[max(refused)]
        return False, explain("compile", f"{best.kernel} for sm_{best.capability}: {clean(best.text)}")
    if told.ending == "crashed":
        return False, explain("compile", f"the compiler crashed: {clean(told.detail)}")
    return None, explain("unsupported", "no kernel reached the compiler")


def _falls_back(module: Module, compiled: Told) -> bool:
    """Whether the answer catches that the compiler refuses its kernels, and is right without them."""
    runs = [report for report in compiled.reports if isinstance(report, Run) and not report.failure]
    return any(not _likeness(module, run, mode).difference for run in runs for mode in module.setting.evaluation)
