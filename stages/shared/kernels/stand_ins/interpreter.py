"""Triton's interpreter with the gaps closed that would give another result than a GPU.

Written against triton 3.7 (`triton/runtime/interpreter.py`, `autotuner.py`, `jit.py`): `selftest.py` refuses others.
Imported with TRITON_INTERPRET=1 in the environment, in a process that does nothing else.
"""

import inspect
import itertools
import operator
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from triton.backends.nvidia.compiler import CUDAOptions
from triton.language.extra import libdevice as any_libdevice
from triton.language.extra.cuda import libdevice as cuda_libdevice
from triton.runtime import interpreter, jit
from triton.runtime.autotuner import Autotuner
from triton.runtime.interpreter import InterpretedFunction, TensorHandle

from stages.shared.kernels import observation
from stages.shared.kernels.stand_ins import builder, device_remap, quick_types, rewriting
from stages.shared.kernels.stand_ins.driver import CompiledKernel, Driver, time_once

_OPTIONS = frozenset(CUDAOptions.__dataclass_fields__)
_LARGEST_GRID = (2**31 - 1, 65535, 65535)
_call_kernel = InterpretedFunction.__call__
_bench = Autotuner._bench  # noqa: SLF001 - there is no public place to choose a configuration


def install() -> None:
    """Put the stand-ins in place of triton's parts. Once for a process."""
    scope = interpreter._patch_lang(_Kernel())  # noqa: SLF001 - done once instead of at each launch and each call
    interpreter._patch_builtin(cuda_libdevice, None, scope)  # noqa: SLF001 - the interpreter leaves it out
    for name in vars(any_libdevice):
        if name in vars(cuda_libdevice) and not name.startswith("_"):
            setattr(any_libdevice, name, getattr(cuda_libdevice, name))
    interpreter._patch_lang = lambda _: interpreter._LangPatchScope()  # noqa: SLF001
    InterpretedFunction.run = _run
    InterpretedFunction.__call__ = _call
    rewriting.install()
    _install_methods()
    # The checks for overflow are assertions that a compiled kernel has in debug mode only.
    interpreter.interpreter_builder.options = interpreter.InterpreterOptions(sanitize_overflow=False)
    builder.install()
    quick_types.install()
    triton.runtime.driver.set_active(Driver())
    Autotuner.do_bench = property(lambda _: time_once)
    Autotuner._bench = _bench_first  # noqa: SLF001 - see above


def _install_methods() -> None:
    """`x.exp()` of a block is `tl.exp(x)`, also of the function that stands in for it."""
    for name, function in vars(tl.math).items():
        if inspect.isfunction(function) and name in vars(tl.tensor):
            setattr(tl.tensor, name, function)


class _Kernel:
    """What `_patch_lang` wants to know of a kernel: the modules that it sees."""

    __globals__ = {"tl": tl, "core": tl.core}  # noqa: RUF012 - the name is Python's


def _run(self: InterpretedFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> CompiledKernel:
    """A launch, with the checks of the compiled launcher."""
    handle = CompiledKernel(self, kwargs)
    if warmup:
        return handle
    with observation.launching(self.__name__):
        unknown = [name for name in kwargs if name not in self.arg_names and name not in _OPTIONS]
        if unknown:
            raise KeyError(f"Keyword argument {unknown[0]} was specified but unrecognised")
        given = {name: value for name, value in kwargs.items() if name in self.arg_names}
        bound = inspect.signature(self.fn).bind(*args, **given)
        bound.apply_defaults()
        for hook in self.pre_run_hooks:
            hook(*args, **given)
        constants = interpreter.GridExecutor(self.fn, self.arg_names, grid).constexprs
        with torch._C.DisableTorchFunction():  # noqa: SLF001 - the interpreter must see the CPU
            _check_pointers(bound.arguments)
            values = {name: value if name in constants else _convert(value) for name, value in bound.arguments.items()}
            size = _grid(grid(dict(bound.arguments)) if callable(grid) else grid)
            if not observation.current.ghost:
                _execute(self, size, values, _tensors(bound.arguments.values()))
    return handle


def _execute(kernel: InterpretedFunction, grid: tuple[int, int, int], values: dict[str, Any], tensors: Any) -> None:
    body = kernel.rewrite()
    state = interpreter.interpreter_builder
    state.set_grid_dim(*grid)
    storages = [tensor.untyped_storage() for tensor in tensors]
    ranges = [(storage.data_ptr(), storage.nbytes()) for storage in storages]
    with builder.running([*ranges, *device_remap.asked_addresses().items()]), np.errstate(all="ignore"):
        programs = [range(size)[:: -1 if observation.current.backwards else 1] for size in grid]
        for place in itertools.product(*programs):
            state.set_grid_idx(*place)
            body(**values)


def _call(self: InterpretedFunction, *args: Any, **kwargs: Any) -> Any:
    if not builder.is_running():
        raise RuntimeError("Cannot call @triton.jit'd outside of the scope of a kernel")
    return _call_kernel(self, *args, **kwargs)


def _grid(asked: Any) -> tuple[int, int, int]:
    """Three sizes; the launcher reads no fourth."""
    sizes = [operator.index(size) for size in tuple(asked)[:3]]
    if any(size > most for size, most in zip(sizes, _LARGEST_GRID, strict=False)):
        raise RuntimeError("Triton Error [CUDA]: invalid argument")
    first, second, third = [*sizes, *[1] * (3 - len(sizes))]
    return first, second, third


def _tensors(values: Any) -> list[torch.Tensor]:
    found = []
    for value in values:
        if isinstance(value, tuple):
            found += _tensors(value)
        elif hasattr(value, "base"):  # a tensor descriptor or a reinterpreted tensor
            found += _tensors([value.base])
        elif isinstance(value, torch.Tensor):
            found.append(value)
    return found


def _check_pointers(arguments: dict[str, Any]) -> None:
    for place, value in enumerate(arguments.values()):
        if any(device_remap.is_on_host(tensor) for tensor in _tensors([value])):
            raise ValueError(f"Pointer argument (at {place}) cannot be accessed from Triton (cpu tensor?)")


def _convert(value: Any) -> Any:
    """An argument as the kernel sees it: everything that is no constant is a tensor."""
    if value is None or isinstance(value, triton.tools.tensor_descriptor.TensorDescriptor | tl.constexpr):
        return interpreter._implicit_cvt(value)  # noqa: SLF001 - the interpreter's own conversion
    if isinstance(value, tuple):
        return interpreter._tuple_create(value, map(_convert, value))  # noqa: SLF001 - the same
    mangled = jit.mangle_type(value)  # raises what the launcher raises
    if isinstance(value, bool):
        return tl.tensor(TensorHandle(np.array([value]), tl.int1), tl.int1)
    if isinstance(value, float):
        return tl.tensor(TensorHandle(np.array([value], dtype=np.float32), tl.float32), tl.float32)
    assert mangled
    return interpreter._implicit_cvt(value)  # noqa: SLF001 - the same


def _bench_first(self: Autotuner, *args: Any, config: Any, **meta: Any) -> list[float]:
    """Run the first configuration only, so that it is the one chosen."""
    if vars(self).get("_timed") is self.nargs:
        return [2.0, 2.0, 2.0]
    self._timed = self.nargs
    return list(_bench(self, *args, config=config, **meta))
