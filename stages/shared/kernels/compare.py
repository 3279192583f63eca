"""Whether two results are equal: structure and dtype exactly, numbers within a tolerance that zeros cannot meet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.shared.kernels.failures import Failure
from stages.shared.kernels.tensors import Keyed, Many, Plain, Tensor, Value, array, leaves

_HALF = 1e-2
_TOLERANCE = {"float16": _HALF, "bfloat16": _HALF, "complex32": _HALF}
_FULL = 1e-4
"""KernelBench's tolerance for float32; also for float64, as kernels compute in float32."""
_FLOAT8 = 0.1

_SHARE = 0.1
"""Of the largest expected number: a tolerance above would let zeros pass, or nearly."""
_NOISE_FACTOR = 32.0
"""How far another order of summation may be from the exact result, in units of how far torch is from it."""
_UNKNOWN_NOISE = 2.0**-23

Numbers = NDArray[Any]


@dataclass(frozen=True)
class Difference:
    """Why a result is not the expected one."""

    failure: Failure
    text: str


@dataclass(frozen=True)
class Likeness:
    """How a result compares to the expected one."""

    difference: Difference | None
    rank_differs: bool = False
    """A shape differs in dimensions of size 1 only."""


def compare(expected: Value, given: Value, noise: Sequence[float | None] = ()) -> Likeness:
    """Compare a result of an answer with that of the module.

    NaN is equal to NaN, infinity to itself. A list is equal to a tuple. A number is near enough when it is off by no
    more than `a + t x |expected|`: t is 1e-4, 1e-2 for half types, 0.1 for float8; a is t as well, but at most a tenth
    of the largest expected number, which zeros do not pass, and then never below 32 times what torch itself loses to
    rounding.
    Integers, Booleans and text must be equal.

    Args:
        expected: what the module returned.
        given: what the answer returned.
        noise: for each leaf of `expected` how far it is from the exact result, at most; None where that is not known.

    Raises:
        ValueError: a tensor is not what it says it is.
    """
    found = _structure(expected, given, "output")
    if found:
        return Likeness(found)
    ranks = False
    pairs = list(zip(leaves(expected), leaves(given), strict=True))
    for place, ((wanted, got), lost) in enumerate(zip(pairs, _losses(noise, len(pairs)), strict=True)):
        where = "output" if len(pairs) == 1 else f"output {place}"
        if isinstance(wanted, Tensor):
            assert isinstance(got, Tensor)
            difference, rank = _tensors(wanted, got, lost, where)
            ranks |= rank
            if difference:
                return Likeness(difference)
        elif isinstance(wanted, Plain) and not _same_scalar(wanted, got):
            return Likeness(Difference("values", f"{where} differs"))
    return Likeness(None, ranks)


def is_zero(expected: Value, noise: Sequence[float | None] = ()) -> bool:
    """Whether zeros would pass for the result: no number in it is larger than what is tolerated."""
    found = leaves(expected)
    tensors = [
        (array(leaf), _tolerance(leaf.dtype), lost)
        for leaf, lost in zip(found, _losses(noise, len(found)), strict=True)
        if isinstance(leaf, Tensor) and leaf.data
    ]
    return bool(tensors) and all(_near(wanted, np.zeros_like(wanted), *rest).all() for wanted, *rest in tensors)


def is_uniform(expected: Value) -> bool:
    """Whether each tensor of the result holds one number over and over, and one of them more than once."""
    tensors = [array(leaf) for leaf in leaves(expected) if isinstance(leaf, Tensor)]
    many = [numbers for numbers in tensors if numbers.size > 1]
    return bool(many) and all(
        compare_numbers(numbers, np.broadcast_to(numbers.flat[0], numbers.shape)) for numbers in many
    )


def compare_numbers(wanted: Numbers, got: Numbers) -> bool:
    """Whether numbers are equal to float32's tolerance."""
    return bool(_near(wanted, got, _FULL, _UNKNOWN_NOISE).all())


def _structure(expected: Value, given: Value, where: str) -> Difference | None:
    if isinstance(expected, Many) and isinstance(given, Many):
        if len(expected.items) != len(given.items):
            return Difference("structure", f"{where}: expected {len(expected.items)} items, got {len(given.items)}")
        pairs = zip(expected.items, given.items, strict=True)
        found = (_structure(wanted, got, f"{where}[{place}]") for place, (wanted, got) in enumerate(pairs))
        return next((difference for difference in found if difference), None)
    if isinstance(expected, Keyed) and isinstance(given, Keyed):
        if list(expected.items) != list(given.items):
            return Difference("structure", f"{where}: expected keys {', '.join(expected.items)}")
        found = (_structure(wanted, given.items[key], f"{where}[{key}]") for key, wanted in expected.items.items())
        return next((difference for difference in found if difference), None)
    if type(expected) is not type(given):
        return Difference("structure", f"{where}: expected {_name(expected)}, got {_name(given)}")
    return None


def _name(value: Value) -> str:
    if isinstance(value, Plain):
        return type(value.value).__name__
    return {Tensor: "a tensor", Many: "a list", Keyed: "a dictionary"}.get(type(value), "another object")


def _losses(noise: Sequence[float | None], size: int) -> list[float]:
    known = noise if len(noise) == size else [None] * size
    return [_UNKNOWN_NOISE if lost is None else lost for lost in known]


def _tensors(expected: Tensor, given: Tensor, noise: float, where: str) -> tuple[Difference | None, bool]:
    if expected.dtype != given.dtype:
        return Difference("dtype", f"{where}: expected {expected.dtype}, got {given.dtype}"), False
    rank = expected.shape != given.shape
    if rank and [n for n in expected.shape if n != 1] != [n for n in given.shape if n != 1]:
        return Difference("shape", f"{where}: expected {expected.shape}, got {given.shape}"), False
    wanted, got = array(expected), array(given).reshape(expected.shape)
    near = _near(wanted, got, _tolerance(expected.dtype), noise)
    if near.all():
        return None, rank
    # The place is read off the flags alone: NaN has no order.
    first = int(np.argmin(near.reshape(-1)))
    place = [int(n) for n in np.unravel_index(first, wanted.shape)]
    text = f"{where}: {np.count_nonzero(~near)} of {wanted.size} numbers differ, at {place} expected"
    return Difference("values", f"{text} {wanted.flat[first]:.6g}, got {got.flat[first]:.6g}"), False


def _tolerance(dtype: str) -> float:
    return _FLOAT8 if dtype.startswith("float8") else _TOLERANCE.get(dtype, _FULL)


def _near(wanted: Numbers, got: Numbers, tolerance: float, noise: float) -> NDArray[np.bool_]:
    """For each number whether it is near enough."""
    if wanted.dtype.kind not in "fc":
        return np.asarray(wanted == got)
    if wanted.dtype.kind == "c":
        return _near(wanted.real, got.real, tolerance, noise) & _near(wanted.imag, got.imag, tolerance, noise)
    wide, other = wanted.astype(np.float64), got.astype(np.float64)
    scale = float(np.max(np.abs(wide), initial=0.0, where=np.isfinite(wide)))
    absolute = min(tolerance, max(_SHARE * scale, _NOISE_FACTOR * noise))
    with np.errstate(all="ignore"):
        near = np.abs(wide - other) <= absolute + tolerance * np.abs(wide)
    alike = (wide == other) | (np.isnan(wide) & np.isnan(other))
    return np.asarray(np.where(np.isfinite(wide) & np.isfinite(other), near, alike))


def _same_scalar(wanted: Plain, got: Value) -> bool:
    assert isinstance(got, Plain)
    if type(wanted.value) is float and type(got.value) is float:
        return compare_numbers(np.array([wanted.value]), np.array([got.value]))
    return type(wanted.value) is type(got.value) and wanted.value == got.value
