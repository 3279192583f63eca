"""From what the children told to a verdict and its flags; nothing that an answer says of itself makes it right."""

from dataclasses import dataclass, field
from typing import get_args

from stages.shared.code.torch_ops import KIND_OF
from stages.shared.kernels import signals
from stages.shared.kernels.compare import Difference
from stages.shared.kernels.failures import explain
from stages.shared.kernels.flags import Flag
from stages.shared.kernels.reports import COMPARED, Case, Compiled, Refused, Run
from stages.shared.kernels.static import Inspection
from stages.shared.kernels.told import Module, Told, clean, likeness
from stages.shared.kernels.verdict import Judgement

_STAYING: frozenset[str] = frozenset({"no_kernel", "exception_fallback", "patched_checker"})
"""Flags of the syntax tree that no run takes back."""
_UNTIL_RUN: frozenset[str] = frozenset({"no_launch", "torch_fallback"})
"""Flags of the syntax tree that a run knows better. The others mean what may happen, and a run shows what does."""


_INTERPRETERS_OWN = {"AssertionError", "AttributeError", "IndexError", "KeyError", "NotImplementedError", "TypeError"}
"""What the interpreter may raise for a kernel that the compiler takes: it says nothing of the kernel then."""


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
    runs = told.runs
    first = runs.get("first")
    has_run = first is not None and first.failure is None
    found = _correctness(module, runs, told)
    found.flags |= {flag for flag in inspection.flags if flag in _STAYING or (flag in _UNTIL_RUN and not has_run)}
    found.flags |= signals.of_module(module)
    if first and has_run:
        found.flags |= signals.of_runs(module, told, correct=bool(found.correct))
        # What was kept from the first call hides that later ones launch nothing; zeros come from no work too.
        found.flags -= {"decoy_launch", "training_only_kernel"} if "cached_output" in found.flags else set()
        found.flags -= {"decoy_launch"} if "zero_reference" in found.flags else set()
    if any(run.tampered for run in runs.values()) or told.is_forged:
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
        elif compiles and first and first.gap and first.failure == "launch" and first.raised in _INTERPRETERS_OWN:
            verdict, found.correct = "unknown", None
            found.detail = explain("unsupported", f"the interpreter raised {first.raised}: {clean(first.text)}")
    return Judgement(
        verdict=verdict,
        has_kernel=bool(inspection.has_kernel) or told.launches,
        launches=len(first.kernels) if first else None,
        compiles=compiles,
        correct=found.correct,
        flags=[flag for flag in get_args(Flag) if flag in found.flags],
        torch_ops=[name for name in first.torch_ops if name in KIND_OF] if first and has_run else inspection.torch_ops,
        detail=found.detail,
    )


def mode_of(module: Module, told: Told) -> bool:
    """The mode of nn.Module in which a right answer is like the module: True is evaluation."""
    return next(mode for mode in module.setting.evaluation if _difference(module, told.runs, mode) is None)


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
    drawn = "; the module's result is random, of the same seed" if module.setting.random else ""
    stale = case != "first" and runs[case].output == runs["first"].output
    return _Finding(
        correct=False,
        detail=explain(difference.failure, f"{difference.text}{drawn}"),
        flags={"cached_output"} if stale else set(),
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
            difference = likeness(module, runs[case], evaluation).difference
            if difference:
                return case, difference
    return None


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
    return any(not likeness(module, run, mode).difference for run in runs for mode in module.setting.evaluation)
