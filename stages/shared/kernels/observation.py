"""What an answer does while it runs: kernels launched, heavy operations left to torch, exceptions that it swallows."""

import _thread
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType, ModuleType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from stages.shared.code.torch_ops import heavy_name

GARBAGE = -1234.5
"""What uninitialised memory holds: no answer may depend on it, and two runs must agree."""

_HARMLESS = frozenset({"one_hot", "unique", "allclose", "equal", "item", "tolist", "__repr__", "__format__"})
"""Functions that torch computes by heavy ones, of a few numbers or for a check."""
_LOOKS = frozenset({"sys._getframe", "sys._current_frames", "gc.get_objects", "gc.get_referrers", "gc.get_referents"})
_THREAD = "threading.Thread"
"""What is done in another thread than the answer's is not watched."""
_INSPECT = inspect.getfile(inspect.currentframe)


@dataclass
class Observation:
    """What is seen of one call of an answer."""

    kernels: list[str] = field(default_factory=list)
    """Names of the kernels launched, in order."""
    torch_ops: list[str] = field(default_factory=list)
    """Heavy operations executed by torch, one entry per call of the answer, in order."""
    inside: int = 0
    """Calls of torch that run now, in which no other is noted."""
    raised: int = 0
    """Exceptions that came out of launches and torch's functions."""
    garbage_reads: int = 0
    """Loads, operations and outputs that saw uninitialised memory."""
    ghost: bool = False
    """Kernels are counted, but do nothing."""
    backwards: bool = False
    """The programs of a kernel run from the last to the first, as no GPU promises an order."""
    garbage: float = GARBAGE
    """What uninitialised memory holds in this call."""
    calling: bool = False
    """The answer's entry point is running; else its module or its constructor is."""


current = Observation()
"""Of the call that is running; a child runs one at a time."""
_last = current


def last() -> Observation:
    """Of the call that ran last."""
    return _last


@contextmanager
def observing(*, ghost: bool = False, backwards: bool = False, garbage: float = GARBAGE) -> Iterator[Observation]:
    """Make a fresh observation the current one for one call."""
    global current, _last  # noqa: PLW0603 - launches come from inside of triton, which passes nothing along
    before, current = current, Observation(ghost=ghost, backwards=backwards, garbage=garbage, calling=True)
    _last = current
    try:
        yield current
    finally:
        current = before


@contextmanager
def launching(kernel: str) -> Iterator[None]:
    """Count a launch that happens, or what it raises."""
    seen = current
    try:
        yield
    except BaseException:
        seen.raised += 1
        raise
    seen.kernels.append(kernel)


@contextmanager
def counting() -> Iterator[None]:
    """Note the heavy operations of the calling thread; what torch's own functions call in turn is not noted again.

    Code can get around what watches torch's functions (`DisableTorchFunction`, traced code, callbacks of its own), but
    not around their dispatch, which is watched too; only what an operator of its own calls is not seen there.
    """
    with _Dispatched(), _Called():  # type: ignore[no-untyped-call]  # of torch's own constructor
        yield


class _Called(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        try:
            with noting(func, args, kwargs or {}):
                return func(*args, **(kwargs or {}))
        except BaseException:
            current.raised += 1
            raise


class _Dispatched(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of its own __init_subclass__
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # Called from here, an operation would go through what watches functions once more.
        with noting(func, args, kwargs or {}), torch._C.DisableTorchFunction():  # noqa: SLF001 - no other way
            return func(*args, **(kwargs or {}))


@contextmanager
def noting(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[None]:
    """Note a call of torch, if it is heavy; in the body no other is noted, unless it may be the answer's own."""
    seen = current
    name = str(getattr(func, "__name__", "")).split(".")[0]  # `mm` of torch.mm, Tensor.mm and torch.ops.aten.mm.default
    heavy = heavy_name(name)
    if heavy and not seen.inside and not _is_elementwise(heavy, args, kwargs):
        seen.torch_ops.append(heavy)
    entered = (heavy is not None or name in _HARMLESS) and _is_torchs(func)
    seen.inside += entered
    try:
        yield
    finally:
        seen.inside -= entered


def _is_torchs(func: Any) -> bool:
    """Whether a function is one of torch; `handle_torch_function` calls any."""
    scope = getattr(func, "__globals__", None)
    return scope is None or str(scope.get("__name__")).split(".")[0] == "torch"


def _is_elementwise(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """`torch.max(a, b)` reduces nothing."""
    other = args[1] if len(args) > 1 else kwargs.get("other")
    return name in {"max", "min"} and isinstance(other, torch.Tensor)


class Watch:
    """Notices when the answer replaces what would judge it, or looks for it."""

    def __init__(self, answer_file: str, modules: list[ModuleType], classes: list[type]) -> None:
        """Take hold of every name of the modules and classes as it is now; hear of looks from `answer_file`."""
        self._answer_file = answer_file
        self._looked: set[str] = set()
        owners: list[ModuleType | type] = [*modules, *classes]
        self._names = [
            (owner, name, value) for owner in owners for name, value in vars(owner).items() if callable(value)
        ]
        if not _watches:
            sys.addaudithook(_hear)  # there is no way to remove one
            _watch_threads()
        _watches[:] = [self]

    def found(self) -> list[str]:
        """What was replaced, as `module.name`, and where the answer looked, sorted."""
        replaced = [
            f"{owner.__name__}.{name}" for owner, name, value in self._names if vars(owner).get(name) is not value
        ]
        return sorted({*replaced, *self._looked})

    def hear(self, event: str, frame: FrameType | None) -> None:
        """The answer is looking when the event is its own, or that of a function of `inspect` that it called.

        It starts a thread wherever in between that happens.
        """
        while frame is not None and (
            frame.f_code.co_filename == _INSPECT or (event == _THREAD and frame.f_code.co_filename != self._answer_file)
        ):
            frame = frame.f_back
        if frame is not None and frame.f_code.co_filename == self._answer_file:
            self._looked.add(event)


_watches: list[Watch] = []
"""The one that hears."""
_hearing: list[str] = []


def _hear(event: str, _: tuple[Any, ...]) -> None:
    if event in _LOOKS and not _hearing:
        _hearing.append(event)  # to look at frames is an event too
        try:
            _watches[0].hear(event, sys._getframe(1))  # noqa: SLF001 - there is no public way
        finally:
            _hearing.clear()


def _watch_threads() -> None:
    """Python raises no event when a thread starts before 3.12, and another one later."""
    for name in ("start_new_thread", "start_joinable_thread"):
        for owner, attribute in ((_thread, name), (threading, f"_{name}")):
            if start := getattr(owner, attribute, None):
                setattr(owner, attribute, _heard(start))


def _heard(start: Callable[..., Any]) -> Callable[..., Any]:
    def started(*args: Any, **kwargs: Any) -> Any:
        _watches[0].hear(_THREAD, sys._getframe(1))  # noqa: SLF001 - there is no public way
        return start(*args, **kwargs)

    return started
