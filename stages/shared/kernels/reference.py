"""Run a module: find out how it must be run, then give its result for every case."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from stages.shared.kernels.loading import Reference, cloned, sow, tensors, varied, with_double_batch
from stages.shared.kernels.reports import COMPARED, Case, Expected, Setting
from stages.shared.kernels.tensors import Many, Tensor, Value, leaves, value_of

SEEDS: dict[Case, tuple[int, int]] = {"first": (11, 11), "again": (11, 22), "second": (33, 33), "alternate": (11, 11)}
"""For each case the seeds of the parameters and of the inputs."""
DRAWS = 7
"""Seed of what `forward` draws itself."""


@dataclass(frozen=True)
class Place:
    """Where modules and answers run."""

    context: Callable[[], AbstractContextManager[Any]]
    """What all their code runs in."""
    move: Callable[[Any], Any]
    """Puts a tensor or a module there."""
    settle: Callable[[Any], object]
    """Called with what the answer returned, after every call of it; with None where it raised."""


def case_inputs(reference: Reference, case: Case) -> list[Any]:
    """The inputs of a case, the same in every process; an alternate batch that cannot be made is the first one."""
    inputs = reference.inputs(SEEDS[case][1])
    if case == "alternate":
        return with_double_batch(inputs)
    return inputs if case == "first" else varied(reference.inputs(SEEDS["first"][1]), inputs)


def call(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], *, grad: bool) -> Any:
    """Call the module or an answer, with the same random numbers for both."""
    sow(DRAWS)
    with torch.set_grad_enabled(grad):
        return function(*args, **kwargs)


def changed_inputs(before: list[Any], after: list[Any]) -> list[int]:
    """Places of the inputs in which a tensor is not what it was."""
    return [place for place, pair in enumerate(zip(before, after, strict=True)) if _differ(*pair)]


def result_value(output: Any, inputs: list[Any], *, by_inputs: bool) -> Value:
    """What is compared: the output, and the inputs too where the module does nothing but change them."""
    return Many([value_of(output), value_of(inputs)]) if by_inputs else value_of(output)


def setting_of(reference: Reference, place: Place) -> Setting:
    """Find out how a module must be run; what its code raises is passed on."""
    grad = False
    try:
        built = _probe(reference, place, evaluation=False, grad=grad)
    except RuntimeError:
        grad = True
        built = _probe(reference, place, evaluation=False, grad=grad)
    evaluated = _probe(reference, place, evaluation=True, grad=grad)
    modes, is_random = [False] if built == evaluated else [False, True], False
    if _probe(reference, place, evaluation=False, grad=grad, draws=DRAWS + 1) != built:
        is_random = _probe(reference, place, evaluation=True, grad=grad, draws=DRAWS + 1) != evaluated
        modes = [True]
    output, changed = evaluated if modes == [True] else built
    pair = [list(tensors(case_inputs(reference, case))) for case in ("first", "again")]
    return Setting(
        modes,
        is_random,
        grad,
        by_inputs=not any(isinstance(leaf, Tensor) for leaf in leaves(output)) and bool(changed),
        stateless=not reference.instance(SEEDS["first"][0]).state_dict(),
        varies=any(not torch.equal(a, b) for a, b in zip(*pair, strict=False)),
    )


def expected(reference: Reference, setting: Setting, place: Place) -> Iterator[Expected]:
    """The result of every case, in every mode of the setting; the alternate batch is left out where it fails."""
    for evaluation in setting.evaluation:
        models = {seed: _model(reference, place, seed, evaluation=evaluation) for seed, _ in SEEDS.values()}
        for case in COMPARED:
            yield _expect(reference, models[SEEDS[case][0]], setting, place, case, evaluation=evaluation)
        model = _model(reference, place, SEEDS["alternate"][0], evaluation=evaluation)
        with contextlib.suppress(Exception):
            yield _expect(reference, model, setting, place, "alternate", evaluation=evaluation)


def _expect(
    reference: Reference, model: nn.Module, setting: Setting, place: Place, case: Case, *, evaluation: bool
) -> Expected:
    before = [place.move(value) for value in case_inputs(reference, case)]
    given = cloned(before)
    output = call(model, given, {}, grad=setting.grad)
    found = list(tensors(output))
    small = any(t.is_floating_point() and t.numel() and not bool(t.abs().amax() >= 1) for t in found)
    noise = _noise(reference, place, case, found, evaluation=evaluation, grad=setting.grad) if small else []
    value = result_value(output, given, by_inputs=setting.by_inputs)
    return Expected(case, evaluation, value, noise, changed_inputs(before, given))


def _model(reference: Reference, place: Place, seed: int, *, evaluation: bool) -> nn.Module:
    model: nn.Module = place.move(reference.instance(seed))
    return model.eval() if evaluation else model


def _probe(
    reference: Reference, place: Place, *, evaluation: bool, grad: bool, draws: int = DRAWS
) -> tuple[Value, list[int]]:
    model = _model(reference, place, SEEDS["first"][0], evaluation=evaluation)
    before = [place.move(value) for value in case_inputs(reference, "first")]
    given = cloned(before)
    sow(draws)
    with torch.set_grad_enabled(grad):
        output = model(*given)
    return value_of(output), changed_inputs(before, given)


def _noise(
    reference: Reference, place: Place, case: Case, found: list[torch.Tensor], *, evaluation: bool, grad: bool
) -> list[float | None]:
    """For each tensor how far it is from the same in float64, at most; nothing where the module cannot do that."""
    try:
        model = _model(reference, place, SEEDS[case][0], evaluation=evaluation).double()
        inputs = [_double(place.move(value)) for value in case_inputs(reference, case)]
        exact = list(tensors(call(model, inputs, {}, grad=grad)))
    except Exception:  # noqa: BLE001 - the same
        return []
    if [t.shape for t in exact] != [t.shape for t in found]:
        return []
    return [_distance(a, b) if a.is_floating_point() else None for a, b in zip(found, exact, strict=True)]


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    off = (a.double() - b.double()).abs()
    off = off[off.isfinite()]
    return float(off.max()) if off.numel() else 0.0


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def _differ(before: Any, after: Any) -> bool:
    return any(
        a.shape != b.shape or not torch.equal(a.nan_to_num(), b.nan_to_num())
        for a, b in zip(tensors(before), tensors(after), strict=True)
    )
