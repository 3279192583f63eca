"""What Triton's interpreter computes: where it would compute something else than a GPU, or touch memory of others.

Each function stands for a method of `InterpreterBuilder`; `install` puts them in its place.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import triton
import triton.language as tl
from numpy.typing import NDArray
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

from stages.shared.kernels import observation
from stages.shared.kernels.stand_ins import libdevice
from stages.shared.kernels.stand_ins.memory import IllegalAccessError, Memory, garbage_of

Numbers = NDArray[Any]

_TF32_MASK = np.uint32(0xFFFFE000)
_TF32 = triton._C.libtriton.ir.INPUT_PRECISION.TF32  # noqa: SLF001 - triton has no other name for it

_memory: list[Memory] = []
"""Of the launch that runs; a kernel launches no other."""
_load, _store = InterpreterBuilder.create_masked_load, InterpreterBuilder.create_masked_store
_atomic_rmw, _atomic_cas = InterpreterBuilder.create_atomic_rmw, InterpreterBuilder.create_atomic_cas


def install() -> None:
    """Replace the methods. Once for a process."""
    for name in ("binary_op", "unary_op", "ternary_op", "create_fma"):
        setattr(InterpreterBuilder, name, _widened(getattr(InterpreterBuilder, name)))
    InterpreterBuilder.cast_impl = _cast(InterpreterBuilder.cast_impl)
    InterpreterBuilder.get_bf16 = _constant
    InterpreterBuilder.create_dot = _dot
    InterpreterBuilder.create_masked_load = _checked_load
    InterpreterBuilder.create_masked_store = _checked_store
    InterpreterBuilder.create_atomic_rmw = _checked_rmw
    InterpreterBuilder.create_atomic_cas = _checked_cas
    InterpreterBuilder.create_extern_elementwise = _extern
    # The larger of a number and NaN is the number, as of PTX's max.f32.
    InterpreterBuilder.create_maxnumf = lambda self, left, right: self.binary_op(left, right, np.fmax)
    InterpreterBuilder.create_minnumf = lambda self, left, right: self.binary_op(left, right, np.fmin)
    interpreter.interpreter_builder.codegen_fns["min_dot_size"] = _min_dot_size


@contextmanager
def running(ranges: Iterable[tuple[int, int]]) -> Iterator[None]:
    """A launch runs, and may touch these ranges: pairs of an address and a size in bytes."""
    _memory.append(Memory(ranges))
    try:
        yield
    finally:
        _memory.pop()


def is_running() -> bool:
    """Whether a launch runs."""
    return bool(_memory)


def _min_dot_size(left: Any, right: Any) -> tuple[int, int, int]:
    """As the compiler for NVIDIA: M, N, K."""
    assert left.scalar.primitive_bitwidth == right.scalar.primitive_bitwidth, "lhs and rhs bitwidth must be the same"
    return (1, 1, 32) if left.scalar.primitive_bitwidth == 8 else (1, 1, 16)


def _constant(_: InterpreterBuilder, value: float) -> TensorHandle:
    return TensorHandle(_to_bf16(np.array([value], dtype=np.float32)), tl.bfloat16)


def _to_bf16(numbers: Numbers) -> Numbers:
    """bfloat16, as the integers that hold it, rounded to nearest even."""
    bits = np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(numbers), np.uint32(0x7FC0), rounded).astype(np.uint16)


def _from_bf16(bits: Numbers) -> Numbers:
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _widened(method: Callable[..., Any]) -> Callable[..., Any]:
    """Compute bfloat16 in float32; the interpreter computes with the integers that hold it."""

    def widened(self: InterpreterBuilder, *arguments: Any) -> Any:
        handles = [argument for argument in arguments if isinstance(argument, TensorHandle)]
        if arguments[-1] is np.where or not any(handle.dtype.scalar == tl.bfloat16 for handle in handles):
            return method(self, *arguments)
        result = method(self, *(_wide(argument) for argument in arguments))
        return TensorHandle(_to_bf16(result.data), tl.bfloat16) if result.data.dtype == np.float32 else result

    return widened


def _wide(argument: Any) -> Any:
    is_half = isinstance(argument, TensorHandle) and argument.dtype.scalar == tl.bfloat16
    return TensorHandle(_from_bf16(argument.data), tl.float32) if is_half else argument


def _cast(method: Callable[..., Any]) -> Callable[..., Any]:
    def cast(self: InterpreterBuilder, source: TensorHandle, to: Any) -> Any:
        if source.dtype.scalar == tl.float32 and to.scalar == tl.bfloat16:
            return TensorHandle(_to_bf16(source.data), tl.bfloat16)
        return method(self, _wide(source), to) if to.scalar != tl.bfloat16 else method(self, source, to)

    return cast


def _dot(_: InterpreterBuilder, a: Any, b: Any, d: Any, input_precision: Any, __: Any) -> TensorHandle:
    """As a tensor core: bfloat16 exactly, float32 in TF32, whose last 13 bits of the mantissa it does not read."""
    left, right = _wide(a), _wide(b)
    if left.dtype.primitive_bitwidth == 8 and left.dtype.is_floating():
        raise NotImplementedError("tl.dot of float8 cannot be judged on the CPU")
    pair = [left.data, right.data]
    if a.dtype.scalar == tl.float32 and input_precision == _TF32:
        pair = [(np.ascontiguousarray(numbers).view(np.uint32) & _TF32_MASK).view(np.float32) for numbers in pair]
    return TensorHandle(np.matmul(*pair, dtype=d.data.dtype) + d.data, d.dtype.scalar)


def _truth(mask: Any) -> Numbers:
    """A mask as Booleans: one that was made of a comparison of integers has their dtype."""
    return np.asarray(mask.data, dtype=bool)


def _checked_load(
    self: InterpreterBuilder, pointers: Any, mask: Any, other: Any, *rest: Any, **named: Any
) -> TensorHandle:
    dtype = interpreter._get_np_dtype(pointers.get_element_ty())  # noqa: SLF001 - the interpreter's own table
    wanted = _truth(mask)
    allowed = _memory[-1].inside(pointers.data, wanted, dtype.itemsize)
    found = _load(self, pointers, mask if allowed is None else TensorHandle(allowed, tl.int1), other, *rest, **named)
    seen = observation.current
    if allowed is not None:
        found.data[np.broadcast_to(wanted, allowed.shape) & ~allowed] = garbage_of(dtype, seen.garbage)
        seen.garbage_reads += 1
    elif dtype.kind != "b" and (found.data == garbage_of(dtype, seen.garbage)).any():
        seen.garbage_reads += 1
    return found


def _checked_store(self: InterpreterBuilder, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
    allowed = _memory[-1].inside(pointers.data, _truth(mask), value.data.itemsize)
    return _store(self, pointers, value, mask if allowed is None else TensorHandle(allowed, tl.int1), *rest)


def _checked_rmw(self: InterpreterBuilder, op: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
    if value.dtype.scalar == tl.bfloat16:
        raise NotImplementedError("an atomic operation on bfloat16 cannot be judged on the CPU")
    allowed = _memory[-1].inside(pointers.data, _truth(mask), value.data.itemsize)
    mask = mask if allowed is None else TensorHandle(allowed, tl.int1)
    found = _atomic_rmw(self, op, pointers, value, mask, *rest)
    if (found.data == garbage_of(found.data.dtype, observation.current.garbage)).any():
        observation.current.garbage_reads += 1
    return found


def _checked_cas(self: InterpreterBuilder, pointers: Any, *rest: Any) -> Any:
    everywhere = np.ones_like(pointers.data, dtype=bool)
    if _memory[-1].inside(pointers.data, everywhere, rest[0].data.itemsize) is not None:
        raise IllegalAccessError
    return _atomic_cas(self, pointers, *rest)


def _extern(_: InterpreterBuilder, __: str, ___: str, symbol: str, handles: list[Any], to: Any, ____: bool) -> Any:
    dtype = interpreter._get_np_dtype(to)  # noqa: SLF001 - the same
    return TensorHandle(libdevice.compute(symbol, [handle.data for handle in handles], dtype), to.scalar)
