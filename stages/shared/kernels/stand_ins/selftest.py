"""Refuse a triton, torch or numpy under which the interpreter computes something else than a GPU.

It also runs every part of the interpreter once, so that children of this process find everything imported.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import triton

from stages.shared.kernels import observation
from stages.shared.kernels.loading import load
from stages.shared.kernels.stand_ins import device_remap

_KERNELS = """
import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def add(a_ptr, b_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a = tl.load(a_ptr + at, mask=at < n)
    b = tl.load(b_ptr + at, mask=at < n, other=0.0)
    tl.store(out_ptr + at, a + b, mask=at < n)


@triton.jit
def matmul(a_ptr, b_ptr, out_ptr, K, SIDE: tl.constexpr, STEP: tl.constexpr, PRECISION: tl.constexpr):
    side, step = tl.arange(0, SIDE), tl.arange(0, STEP)
    total = tl.zeros((SIDE, SIDE), dtype=tl.float32)
    for k in range(0, tl.cdiv(K, STEP)):
        at = k * STEP + step
        a = tl.load(a_ptr + side[:, None] * K + at[None, :], mask=at[None, :] < K, other=0.0)
        b = tl.load(b_ptr + at[:, None] * SIDE + side[None, :], mask=at[:, None] < K, other=0.0)
        total += tl.dot(a, b, input_precision=PRECISION)
    tl.store(out_ptr + side[:, None] * SIDE + side[None, :], total)


@triton.jit
def softmax(x_ptr, out_ptr, columns, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + tl.program_id(0) * columns + at, mask=at < columns, other=-float("inf"))
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + tl.program_id(0) * columns + at, e / tl.sum(e, axis=0), mask=at < columns)


@triton.jit
def running_sum(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    x = tl.make_block_ptr(x_ptr, shape=(n,), strides=(1,), offsets=(0,), block_shape=(BLOCK,), order=(0,))
    out = tl.make_block_ptr(out_ptr, shape=(n,), strides=(1,), offsets=(0,), block_shape=(BLOCK,), order=(0,))
    tl.store(out, tl.cumsum(tl.load(x, boundary_check=(0,)), 0), boundary_check=(0,))


@triton.autotune([triton.Config({"BLOCK": 64}), triton.Config({"BLOCK": 128})], key=["n"])
@triton.jit
def tanh_and_erf(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, libdevice.tanh(x) + tl.math.erf(x), mask=at < n)


@triton.jit
def total(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(out_ptr, tl.sum(tl.load(x_ptr + at, mask=at < n, other=0.0), axis=0))
"""


def _add(kernels: Any) -> bool:
    a, b = torch.rand(200), torch.rand(200)
    out = torch.empty_like(a)
    kernels.add[(2,)](a, b, out, 200, BLOCK=128)
    return torch.equal(out, a + b)


def _is_product(kernels: Any, dtype: torch.dtype, precision: str, tolerance: float) -> bool:
    a, b = (torch.rand(size).to(dtype) for size in ((32, 70), (70, 32)))
    out = torch.empty((32, 32))
    kernels.matmul[(1,)](a, b, out, 70, SIDE=32, STEP=16, PRECISION=precision)
    return bool((out - a.float() @ b.float()).abs().max() < tolerance)


def _tf32(kernels: Any) -> bool:
    return _is_product(kernels, torch.float32, "tf32", 1e-1) and not _is_product(kernels, torch.float32, "tf32", 1e-3)


def _softmax(kernels: Any) -> bool:
    x = torch.rand(3, 20)
    out = torch.empty_like(x)
    kernels.softmax[(3,)](x, out, 20, BLOCK=32)
    return torch.allclose(out, x.softmax(1))


def _block_pointers(kernels: Any) -> bool:
    x = torch.rand(50)
    out = torch.empty_like(x)
    kernels.running_sum[(1,)](x, out, 50, BLOCK=64)
    return torch.allclose(out, x.cumsum(0))


def _autotuning(kernels: Any) -> bool:
    x = torch.rand(100)
    out = torch.empty_like(x)
    kernels.tanh_and_erf[lambda meta: (triton.cdiv(100, meta["BLOCK"]),)](x, out, 100)
    return torch.allclose(out, x.tanh() + x.erf())


def _atomics(kernels: Any) -> bool:
    x, out = torch.rand(100), torch.zeros(())
    kernels.total[(2,)](x, out, 100, BLOCK=64)
    return torch.allclose(out, x.sum())


TESTS: dict[str, Callable[[Any], bool]] = {
    "masked loads and stores": _add,
    "a loop over tl.dot in float32": lambda kernels: _is_product(kernels, torch.float32, "ieee", 1e-4),
    "tl.dot in TF32": _tf32,
    "tl.dot in float16": lambda kernels: _is_product(kernels, torch.float16, "ieee", 1e-4),
    "tl.dot in bfloat16": lambda kernels: _is_product(kernels, torch.bfloat16, "ieee", 1e-4),
    "reductions": _softmax,
    "block pointers and scans": _block_pointers,
    "autotuning and libdevice": _autotuning,
    "atomic operations": _atomics,
}


def run() -> None:
    """Run all tests.

    Raises:
        ValueError: the first that fails, and the versions.
    """
    kernels = load(_KERNELS, "selftest_kernels")
    for name, test in TESTS.items():
        try:
            passed, reason = _as_answer(test, kernels), "gives a wrong result"
        except Exception as error:  # noqa: BLE001 - another version may fail in any way
            passed, reason = False, f"raises {type(error).__name__}: {' '.join(str(error).split())[:100]}"
        if not passed:
            versions = f"triton {triton.__version__}, torch {torch.__version__}, numpy {np.__version__}"
            raise ValueError(f"{name} {reason} in Triton's interpreter with {versions}: install the pinned versions")


def launch_some() -> None:
    """Launch kernels that use all parts of a compiler, whatever they give."""
    kernels = load(_KERNELS, "selftest_kernels")
    for test in (_softmax, _tf32, _autotuning):
        _as_answer(test, kernels)


def _as_answer(test: Callable[[Any], bool], kernels: Any) -> bool:
    torch.default_generator.manual_seed(0)
    try:
        with torch.no_grad(), device_remap.DeviceRemap(), torch.device("cuda"), observation.observing():
            return test(kernels)
    finally:
        device_remap.settle(None)
