"""Flags of a module and of the runs of an answer to it: signals that never change whether it is right."""

from collections.abc import Mapping

from stages.shared.kernels.compare import compare, is_uniform, is_zero
from stages.shared.kernels.reports import COMPARED, Case, Run
from stages.shared.kernels.sandbox.outcome import Ending
from stages.shared.kernels.told import Module, Told, likeness

_ENDED: dict[Ending, str] = {
    "timeout": "timeout",
    "exited": "forged_exit",
    **dict.fromkeys(("crashed", "memory", "output"), "crash"),
}
"""Flags of an answer that is right, but did not get to the cases that show how it came to its results."""


def of_module(module: Module) -> set[str]:
    """Flags of the module itself."""
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


def of_runs(module: Module, told: Told, *, correct: bool) -> set[str]:
    """Flags of the runs of an answer, of which the first came to its end."""
    runs = told.runs
    first, mode = runs["first"], module.setting.evaluation[0]
    ghost, poison, other = runs.get("ghost"), runs.get("poison"), runs.get("evaluation")
    changed = [(run.changed, module.expected.get((case, mode))) for case, run in runs.items() if case in COMPARED]
    likenesses = [
        likeness(module, runs[case], evaluation)
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
        "shape_rank": correct and any(alike.rank_differs for alike in likenesses),
    }
    flags = {flag for flag, seen in signals.items() if seen}
    if correct and told.ending in _ENDED and not _ended_in_alternate(runs):
        flags.add(_ENDED[told.ending])
    return flags


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
        likeness(module, run, mode).difference is not None for mode in modes
    )
