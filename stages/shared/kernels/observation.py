"""What an answer does while it runs: kernels launched, heavy operations left to torch, exceptions that it swallows."""

import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType, ModuleType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from stages.shared.code.torch_ops import KIND_OF

GARBAGE = -1234.5
"""What uninitialised memory holds: no answer may depend on it, and two runs must agree."""

_ALIASES = {
    "__matmul__": "matmul",
    "__rmatmul__": "matmul",
    "__imatmul__": "matmul",
    "convolution": "conv2d",
    "cudnn_convolution": "conv2d",
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "native_batch_norm": "batch_norm",
    "addmv": "mv",
    "multi_dot": "matmul",
    "chain_matmul": "matmul",
    "msort": "sort",
    "aminmax": "max",
}
_PREFIX = re.compile(r"linalg_|special_|_(?=(log_)?softmax)")
_LOOKS = frozenset({"sys._getframe", "sys._current_frames", "gc.get_objects", "gc.get_referrers", "gc.get_referents"})
_INSPECT = inspect.getfile(inspect.currentframe)


@dataclass
class Observation:
    """What is seen of one call of an answer."""

    kernels: list[str] = field(default_factory=list)
    """Names of the kernels launched, in order."""
    torch_ops: list[str] = field(default_factory=list)
    """Heavy operations executed by torch, one entry per call of the answer, in order."""
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


class OpCounter(TorchFunctionMode):
    """Notes heavy operations; what torch's own functions call in turn is not noted again."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of `func`."""
        name = _name(func)
        if name in KIND_OF and not _is_elementwise(name, args, kwargs or {}):
            current.torch_ops.append(name)
        try:
            return func(*args, **(kwargs or {}))
        except BaseException:
            current.raised += 1
            raise


def _name(func: Any) -> str:
    """`mm` of `torch.mm`, `Tensor.mm`, `torch.ops.aten.mm.default`; `norm` of `torch.linalg.norm`."""
    name = _PREFIX.sub("", str(getattr(func, "__name__", "")).split(".")[0])
    return _ALIASES.get(name, name)


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
        _watches[:] = [self]

    def found(self) -> list[str]:
        """What was replaced, as `module.name`, and where the answer looked, sorted."""
        replaced = [
            f"{owner.__name__}.{name}" for owner, name, value in self._names if vars(owner).get(name) is not value
        ]
        return sorted({*replaced, *self._looked})

    def hear(self, event: str, frame: FrameType | None) -> None:
        """The answer is looking when the event is its own, or that of a function of `inspect` that it called."""
        while frame is not None and frame.f_code.co_filename == _INSPECT:
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
