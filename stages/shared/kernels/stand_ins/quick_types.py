"""Triton's tensor types, made once for each shape: the interpreter makes several for every operation of a kernel."""

from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

_make_block = tl.block_type.__init__
_np_dtype = interpreter._get_np_dtype  # noqa: SLF001 - the interpreter's own table, built anew at each call
_blocks: dict[tuple[str, tuple[Any, ...]], dict[str, Any]] = {}
_shapes: dict[tuple[int, ...], tuple[Any, Any]] = {}
_dtypes: dict[str, Any] = {}


def install() -> None:
    """Replace the constructors. Once for a process."""
    tl.block_type.__init__ = _block_type
    tl.tensor.__init__ = _tensor
    interpreter._get_np_dtype = _get_np_dtype  # noqa: SLF001 - see above
    InterpreterBuilder.create_splat = _splat
    InterpreterBuilder.create_broadcast = _broadcast


def _block_type(self: Any, element_ty: Any, shape: Any) -> None:
    sizes = tuple(size.value if isinstance(size, tl.constexpr) else size for size in shape)
    # True and 1.0 would be found as 1, which they are not to Triton.
    if not all(type(size) is int for size in sizes):
        _make_block(self, element_ty, shape)
        return
    key = (element_ty.name, sizes)
    if key not in _blocks:
        _make_block(self, element_ty, list(sizes))
        _blocks[key] = dict(vars(self))
    vars(self).update(_blocks[key], element_ty=element_ty)


def _tensor(self: Any, handle: Any, type: Any) -> None:  # noqa: A002 - Triton's name
    self.handle = handle
    self.type = type
    self.dtype = type.scalar
    sizes = tuple(type.shape) if type.is_block() else ()
    if sizes not in _shapes:
        numel = 1
        for size in sizes:
            numel *= size
        _shapes[sizes] = (tl.tuple([tl.constexpr(size) for size in sizes]), tl.constexpr(numel))
    self.shape, self.numel = _shapes[sizes]


def _get_np_dtype(dtype: Any) -> Any:
    name = dtype.element_ty.name if isinstance(dtype, tl.block_type) else dtype.name
    if name not in _dtypes:
        _dtypes[name] = _np_dtype(dtype)
    return _dtypes[name]


def _splat(_: InterpreterBuilder, to: Any, scalar: TensorHandle) -> TensorHandle:
    number = scalar.data[0] if scalar.data.ndim else scalar.data
    return TensorHandle(np.full(tuple(to.shape), number, dtype=_get_np_dtype(scalar.dtype)), scalar.dtype.scalar)


def _broadcast(_: InterpreterBuilder, tensor: TensorHandle, shape: Any) -> TensorHandle:
    return TensorHandle(np.broadcast_to(tensor.data, tuple(shape)), tensor.dtype.scalar)
