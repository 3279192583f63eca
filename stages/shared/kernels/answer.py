"""Run an answer: once for every case, and tell what it did each time."""

import gc
import re
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from stages.shared.kernels import entry, observation
from stages.shared.kernels.failures import Failure
from stages.shared.kernels.loading import cloned, hide_judge, load, load_reference, tensors, with_tensors
from stages.shared.kernels.observation import Watch
from stages.shared.kernels.reference import SEEDS, Place, call, case_inputs, changed_inputs, result_value
from stages.shared.kernels.reports import CASES, COMPARED, MOST_OPERATIONS, Case, Run, Setting, Task
from stages.shared.kernels.tensors import LONGEST

FILE = "answer.py"
_GAPS = re.compile(r"/triton/runtime/interpreter\.py$|/stages/shared/kernels/stand_ins/(builder|libdevice)\.py$")
_INTERPRETER = re.compile(rf"{_GAPS.pattern}|/triton/language/\w+\.py$")
_NOT_ON_CPU = re.compile(r"not implemented for '|inline_asm|is not currently supported on the CPU")
_LAUNCHERS = ("kernels/stand_ins/interpreter.py", "kernels/cuda_tasks.py")
_MODES: dict[Case, dict[str, Any]] = {
    "again": {"backwards": True, "garbage": -observation.GARBAGE},
    "ghost": {"ghost": True},
    "evaluation": {"ghost": True},
    "poison": {"garbage": float("nan")},
}


@dataclass(frozen=True)
class Prepared:
    """What the module gives to its answers, made before any code of an answer runs."""

    setting: Setting
    known: dict[int, entry.Known]
    """By the seed of the parameters."""
    constructor: list[tuple[list[Any], dict[str, Any]]]
    """Arguments for one instance each."""
    inputs: dict[Case, list[Any]]


def prepare(task: Task, place: Place) -> Prepared:
    """Load the module, take what is needed of it, and let go of it."""
    subject = task.subject
    reference = load_reference(subject.python_code, subject.entry_point, subject.module_name)
    known = {}
    for seed, _ in SEEDS.values():
        if seed not in known:
            known[seed] = entry.Known(place.move(reference.instance(seed)), *reference.arguments())
    inputs = {case: [place.move(value) for value in case_inputs(reference, case)] for case in COMPARED}
    try:
        inputs["alternate"] = [place.move(value) for value in case_inputs(reference, "alternate")]
    except RuntimeError:  # inputs that cannot be joined
        inputs["alternate"] = inputs["first"]
    prepared = Prepared(task.setting, known, [reference.arguments() for _ in range(len(CASES))], inputs)
    del reference
    gc.collect()
    return prepared


def runs(
    task: Task, place: Place, watch: Watch, cases: Sequence[Case] = CASES, *, leniently: bool = False
) -> Iterator[Run]:
    """Load the answer and run the cases that can tell something, beginning with `first`; when that fails, no other.

    Args:
        task: the answer and its module.
        place: where they run.
        watch: over what the answer may not touch.
        cases: the ones to run.
        leniently: load the answer as far as that goes.
    """
    with place.context():
        prepared = prepare(task, place)
        hide_judge()
        try:
            found = entry.find(load(task.answer, FILE.removesuffix(".py"), leniently=leniently), task.names)
        except BaseException as error:  # noqa: BLE001 - the answer may raise anything, SystemExit too
            yield _failed("first", error)
            return
        if found is None:
            yield Run("first", None, "no_entry_point", text="the code runs, but leaves no entry point behind")
            return
        caller = _Caller(prepared, place, found, watch)
        for case in cases:
            if caller.tells(case):
                run = caller.run(case)
                yield run
                if case == "first":
                    if run.failure:
                        return
                    caller.first = run


class _Caller:
    """Calls the entry point of an answer."""

    first: Run

    def __init__(self, prepared: Prepared, place: Place, found: Any, watch: Watch) -> None:
        self._prepared = prepared
        self._place = place
        self._entry = found
        self._watch = watch
        self._held = cloned(prepared.inputs["first"])
        self._garbage_reads = 0
        self._instances: dict[int, Any] = {}
        self._constructor = iter(prepared.constructor)

    def tells(self, case: Case) -> bool:
        """Whether the case can show something that the first did not."""
        if case == "ghost":
            return bool(self.first.kernels)
        if case == "evaluation":
            return bool(self.first.kernels) and getattr(self._instances.get(0), "training", False) is True
        if case == "poison":
            return self._garbage_reads > 0
        if case == "second":
            return not self._prepared.setting.stateless
        return True

    def run(self, case: Case) -> Run:
        """One call. The cases that are compared get their inputs in the same memory."""
        inputs = self._prepared.inputs.get(case, self._prepared.inputs["first"])
        given = self._refilled(inputs) if case in COMPARED else cloned(inputs)
        try:
            function = self._function(case)
            with observation.observing(**_MODES.get(case, {})) as seen, observation.counting():
                args, kwargs = self._arguments(function, given, case)
                output = call(function, args, kwargs, grad=self._prepared.setting.grad)
                self._place.settle(output)
                self._garbage_reads += seen.garbage_reads if case in COMPARED else 0
                # To read a result may be to compute it. But what is told is told of tensors on the CPU.
                with torch._C.DisableTorchFunction():  # noqa: SLF001 - no other way
                    value = result_value(output, given, by_inputs=self._prepared.setting.by_inputs)
                    changed = changed_inputs(inputs, given)
        except BaseException as error:  # noqa: BLE001 - the same
            self._place.settle(None)
            return _failed(case, error, kernels=observation.last().kernels[:LONGEST], tampered=self._watch.found())
        return Run(
            case,
            value,
            kernels=seen.kernels[:LONGEST],
            torch_ops=seen.torch_ops[:MOST_OPERATIONS],
            swallowed=seen.raised,
            garbage_reads=seen.garbage_reads,
            changed=changed,
            tampered=self._watch.found() if case in {"first", "alternate"} else [],
        )

    def _refilled(self, inputs: list[Any]) -> list[Any]:
        pairs = list(zip(tensors(self._held), tensors(inputs), strict=False))
        if any(held.shape != value.shape or held.dtype != value.dtype for held, value in pairs):
            return cloned(inputs)
        for held, value in pairs:
            held.data.copy_(value)
        return with_tensors(inputs, tensors(self._held))

    def _function(self, case: Case) -> Any:
        """The function, or an instance of the class: one for `first` and `again`, one for each other case."""
        if not isinstance(self._entry, type):
            return self._entry
        if case == "again":
            return self._instances[0]
        seed = SEEDS.get(case, SEEDS["first"])[0]
        made = entry.build(self._entry, self._prepared.known[seed], *next(self._constructor), seed)
        made = self._place.move(made)
        if isinstance(made, nn.Module):
            evaluation = self._prepared.setting.evaluation == [True]
            made = made.eval() if evaluation or case == "evaluation" else made
        if case == "first":
            self._instances[0] = made
        return made if callable(made) else made.forward

    def _arguments(self, function: Any, given: list[Any], case: Case) -> tuple[list[Any], dict[str, Any]]:
        if isinstance(self._entry, type):
            return given, {}
        return entry.arguments(function, given, self._prepared.known[SEEDS.get(case, SEEDS["first"])[0]])


def _failed(case: Case, error: BaseException, **seen: Any) -> Run:
    cause = _cause(error)
    text = "it builds a C++ or CUDA extension" if _builds_extension(error) else str(cause)
    gap = _INTERPRETER.search(_files(cause)[-1]) is not None
    return Run(case, None, failure_of(error), type(cause).__name__[:LONGEST], text[:LONGEST], gap, **seen)


def _cause(error: BaseException) -> BaseException:
    """What a function of a kernel raised; the interpreter wraps it."""
    while type(error).__name__ == "InterpreterError" and error.__cause__ is not None:
        error = error.__cause__
    return error


def _files(error: BaseException) -> list[str]:
    """Of the functions that it came through."""
    return [frame.filename for frame in traceback.extract_tb(error.__traceback__)] or [""]


def _builds_extension(error: BaseException) -> bool:
    return any(file.endswith("torch/utils/cpp_extension.py") for file in _files(error))


def failure_of(error: BaseException) -> Failure:
    """What kind of failure an exception is."""
    cause = _cause(error)
    if isinstance(cause, SystemExit):
        return "exit"
    if isinstance(cause, MemoryError | torch.OutOfMemoryError):
        return "memory"
    files = [*_files(error), *_files(cause)]
    if _builds_extension(error) or (isinstance(cause, NotImplementedError) and _GAPS.search(files[-1])):
        return "unsupported"
    if isinstance(cause, RuntimeError | NotImplementedError) and _NOT_ON_CPU.search(str(cause)):
        return "unsupported"
    return "launch" if any(file.endswith(_LAUNCHERS) for file in files) else "exception"
