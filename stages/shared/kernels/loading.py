"""Load code that is text, and build from a module what an answer is compared on: instances and inputs, by seed."""

import ast
import contextlib
import copy
import inspect
import linecache
import random
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

HELPERS = "_paritybench_helpers"
"""A module that KernelBook's rows import; it came with the tool that collected them."""


class ModuleError(Exception):
    """The module itself is not what it should be, so that no answer to it can be judged."""


@dataclass(frozen=True)
class Reference:
    """A PyTorch module in KernelBook's form."""

    build: type[nn.Module]
    _init_inputs: Callable[[], Any] | None
    _inputs: Callable[[], Any]

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Of the constructor: `get_init_inputs()` is a flat list, or `[args, kwargs]`."""
        given = self._init_inputs() if self._init_inputs else []
        if isinstance(given, dict):
            return [], given
        given = list(given)
        if len(given) == 2 and isinstance(given[0], list | tuple) and isinstance(given[1], dict):
            return list(given[0]), given[1]
        return given, {}

    def instance(self, seed: int) -> nn.Module:
        """The module with the parameters of a seed, in the mode that its constructor leaves it in."""
        args, kwargs = self.arguments()
        sow(seed)
        return self.build(*args, **kwargs)

    def inputs(self, seed: int) -> list[Any]:
        """The arguments of `forward`."""
        sow(seed)
        given = self._inputs()
        return list(given) if isinstance(given, list | tuple) else [given]


def sow(seed: int) -> None:
    """Seed every source of random numbers."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed formats a traceback for devices that are not there
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - what modules use


def load(code: str, name: str, *, leniently: bool = False) -> types.ModuleType:
    """Run code as the module `name`; its source can be read, as kernels need it to be.

    Leniently: a statement that raises is passed over, such as a test at the end of the code that needs real results.
    """
    module = types.ModuleType(name)
    module.__file__ = file = f"{name}.py"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    sys.modules[name] = module
    tree = ast.parse(code, file)
    for part in [ast.Module([statement], []) for statement in tree.body] if leniently else [tree]:
        with contextlib.suppress(Exception) if leniently else contextlib.nullcontext():
            exec(compile(part, file, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - this is what it is for
    return module


def hide_judge() -> None:
    """Forget the modules of this project, so that no code can import them; who holds a name of theirs keeps it."""
    for name in [name for name in sys.modules if name.split(".")[0] == "stages"]:
        del sys.modules[name]


def load_reference(code: str, entry_point: str | None, module_name: str) -> Reference:
    """Load a module; afterwards it is not among the modules that can be imported.

    Raises:
        ModuleError: it has no class to build, or no `get_inputs`.
    """
    sow(0)
    loaded = vars(load(code, "reference"))
    del sys.modules["reference"], linecache.cache["reference.py"]
    own = [kind for kind in loaded.values() if isinstance(kind, type) and kind.__module__ == "reference"]
    modules = [kind for kind in own if issubclass(kind, nn.Module)]
    build = next((loaded[name] for name in (entry_point, module_name) if name in loaded), modules[-1:])
    if isinstance(build, list):
        if not build:
            raise ModuleError("the module has no class to build")
        (build,) = build
    if not callable(loaded.get("get_inputs")):
        raise ModuleError("the module has no get_inputs")
    return Reference(build, loaded.get("get_init_inputs"), loaded["get_inputs"])


def cloned(values: list[Any]) -> list[Any]:
    """The values with memory of their own."""
    return with_tensors(values, (_clone(tensor) for tensor in tensors(values)))


def with_tensors(values: list[Any], others: Iterator[torch.Tensor]) -> list[Any]:
    """Nested values with other tensors, in the order of `tensors`, in place of theirs."""
    return [_with_tensors(value, others) for value in values]


def _with_tensors(value: Any, others: Iterator[torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return next(others)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_with_tensors(item, others) for item in value))
    if isinstance(value, list | tuple):
        return type(value)(_with_tensors(item, others) for item in value)
    if isinstance(value, dict):
        changed = copy.copy(value)  # also a subclass, whatever its constructor takes
        changed.update({key: _with_tensors(item, others) for key, item in value.items()})
        return changed
    return value


def _clone(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def tensors(values: Any) -> Iterator[torch.Tensor]:
    """The tensors among nested values, in order."""
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors(value)
    elif isinstance(values, dict):
        yield from tensors(list(values.values()))


def with_double_batch(inputs: list[Any]) -> list[Any]:
    """The inputs with the first dimension of each tensor twice as long, and other numbers in the new half."""
    return [_doubled(value) if isinstance(value, torch.Tensor) and value.dim() > 0 else value for value in inputs]


def _doubled(tensor: torch.Tensor) -> torch.Tensor:
    return torch.cat([tensor, tensor * 0.5 + 0.1 if tensor.is_floating_point() else tensor])


def varied(inputs: list[Any], others: list[Any]) -> list[Any]:
    """`others`, or, where no seed changes the inputs, the same ones with other numbers."""
    pairs = list(zip(tensors(inputs), tensors(others), strict=False))
    if not pairs or any(a.shape != b.shape or not torch.equal(a, b) for a, b in pairs):
        return others
    return [
        value * 0.75 + 0.1 if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for value in others
    ]


@contextlib.contextmanager
def helpers() -> Iterator[None]:
    """Modules that KernelBook's rows import and nobody can install can be imported."""
    module = types.ModuleType(HELPERS)
    vars(module).update(
        _mock_config=_Config, _mock_layer=_Layer, _paritybench_base=object, _fails_compile=lambda: lambda test: test
    )
    sys.modules[HELPERS] = module
    try:
        yield
    finally:
        del sys.modules[HELPERS]


class _Config(dict[str, Any]):
    """A configuration: its entries are attributes too."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.get(name)

    __setattr__ = dict.__setitem__


class _Layer(nn.Module):
    """A layer of no importance."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def forward(self, given: Any, *_: Any, **__: Any) -> Any:
        """What was given."""
        return given


def positional(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a function that can be given by position, without `self`; none where that cannot be read."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter for parameter in signature.parameters.values() if parameter.kind in kinds]


def takes_any(function: Callable[..., Any]) -> bool:
    """Whether a function takes any number of arguments by position (`*args`)."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters)
