"""Time a module, and an answer beside it, in the process that loads the answer; runs in a child."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from stages.shared.kernels import entry
from stages.shared.kernels.answer import FILE
from stages.shared.kernels.loading import Reference, hide_judge, load, load_reference, sow
from stages.shared.kernels.reference import DRAWS, SEEDS, Place, result_value
from stages.shared.kernels.reports import pack
from stages.shared.kernels.timing import Call, Device, Lap, Runner, in_a_row, race, times_in_a_row
from stages.shared.kernels.timing_reports import Laps, RowBegins, RowEnds, Shown, TimingTask

_SEED = SEEDS["first"][0]


def time_calls(task: TimingTask, place: Place, device: Device, send: Callable[[bytes], None]) -> None:
    """Tell the laps of both, what the shown calls returned, and when calls of the answer in a row begin and end.

    What the module's or the answer's code raises is passed on.
    """
    subject, grad = task.subject, task.setting.grad
    with place.context():
        reference = load_reference(subject.python_code, subject.entry_point, subject.module_name)
        known = entry.Known(place.move(reference.instance(_SEED)), *reference.arguments())
        model = _in_mode(place.move(reference.instance(_SEED)), evaluation=task.evaluation)
        runners = [_runner(reference, place, lambda given: lambda: model(*given), grad=grad)]
        if task.answer is not None:
            runners.append(_runner(reference, place, _caller(task, reference, known, place), grad=grad))
        outputs: list[bytes] = []

        def seen(number: int, runner: int, output: Any) -> None:
            if runner == len(runners) - 1 and number in task.shown:
                value = result_value(*output, by_inputs=task.setting.by_inputs)
                outputs.append(pack(Shown(number, value)))

        laps = race(device, runners, task.seeds, task.budget_s, seen)
        for output in outputs:
            send(output)
        send(pack(Laps(laps[0], laps[1] if task.answer is not None else [])))
        _row(device, runners[-1], task.seeds[0], laps[-1], send)


def _row(device: Device, runner: Runner, seed: int, laps: list[Lap], send: Callable[[bytes], None]) -> None:
    times = times_in_a_row(laps)
    call = runner(seed)
    device.drain()
    send(pack(RowBegins(times)))
    in_a_row(device, call, times)
    send(pack(RowEnds()))


def _runner(reference: Reference, place: Place, bound: Callable[[list[Any]], Call], *, grad: bool) -> Runner:
    """Calls with fresh inputs, and with the same random numbers for the module and the answer."""

    def make(seed: int) -> Call:
        given = [place.move(value) for value in reference.inputs(seed)]
        call = bound(given)
        sow(DRAWS)

        def run() -> tuple[Any, list[Any]]:
            with torch.set_grad_enabled(grad):
                return call(), given

        return run

    return make


def _caller(task: TimingTask, reference: Reference, known: entry.Known, place: Place) -> Callable[[list[Any]], Call]:
    """Load the answer; what binds its entry point to inputs."""
    assert task.answer is not None
    hide_judge()
    found = entry.find(load(task.answer, FILE.removesuffix(".py")), task.names)
    if found is None:
        raise LookupError("the code runs, but leaves no entry point behind")
    if isinstance(found, type):
        made = place.move(entry.build(found, known, *reference.arguments(), _SEED))
        made = _in_mode(made, evaluation=task.evaluation)
        called = made if callable(made) else made.forward
        return lambda given: lambda: called(*given)

    def bind(given: list[Any]) -> Call:
        args, kwargs = entry.arguments(found, given, known)
        return lambda: found(*args, **kwargs)

    return bind


def _in_mode(model: Any, *, evaluation: bool) -> Any:
    return model.eval() if evaluation and isinstance(model, nn.Module) else model
