"""CUDA's libdevice in numpy: what each `__nv_` symbol computes, for the interpreter, which has no library of its own.

Symbols and their meaning: NVIDIA, libdevice User's Guide. float32 is computed in float64 and rounded once.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Numbers = NDArray[Any]

_ROUNDING = re.compile(r"_r[nzdu]$")
_CONVERSION = re.compile(r"(double|float|u?int|u?ll)2(double|float|u?int|u?ll)(_r[nzdu])?")
_ROUND_OF = {"_rn": np.rint, "_rz": np.trunc, "_rd": np.floor, "_ru": np.ceil}


def compute(symbol: str, arguments: list[Numbers], result: np.dtype[Any]) -> Numbers:
    """The value of a function of libdevice.

    Raises:
        NotImplementedError: there is no stand-in for the symbol.
    """
    name = symbol.removeprefix("__nv_")
    with np.errstate(all="ignore"):
        if converted := _CONVERSION.fullmatch(name):
            is_integer = result.kind in "iu"
            rounded = _ROUND_OF[converted[3] or "_rn"](arguments[0]) if is_integer else arguments[0]
            return np.asarray(rounded).astype(result)
        if name in _BITS:
            return _BITS[name](*arguments).astype(result)
        function = _function(_ROUNDING.sub("", name))
        if function is None:
            raise NotImplementedError(f"{symbol} has no stand-in on the CPU")
        wide = [numbers.astype(np.float64) if numbers.dtype == np.float32 else numbers for numbers in arguments]
        return np.asarray(function(*wide)).astype(result)


def _function(name: str) -> Callable[..., Any] | None:
    """By the name for float64; that for float32 has an `f` behind or, for arithmetic, before it."""
    for spelled in (name, name.removesuffix("f"), name[1:] if name[0] in "fd" else name, name.removeprefix("fast_")):
        if spelled in _FUNCTIONS:
            return _FUNCTIONS[spelled]
    return _FUNCTIONS.get(name.removeprefix("fast_").removesuffix("f"))


def _special(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Numbers], Numbers]:
    return lambda numbers: function(torch.from_numpy(np.array(numbers, dtype=np.float64))).numpy()


def _half_away(numbers: Numbers) -> Numbers:
    return np.copysign(np.floor(np.abs(numbers) + 0.5), numbers)


def _gamma(number: float) -> float:
    try:
        return math.gamma(number)
    except (ValueError, OverflowError):
        return math.inf if number >= 0 else math.nan


def _bit_count(numbers: Numbers) -> Numbers:
    return np.asarray(np.bitwise_count(numbers.view(f"u{numbers.dtype.itemsize}")))


def _find_first(numbers: Numbers) -> Numbers:
    return np.where(numbers == 0, 0, _bit_count((numbers & -numbers) - 1) + 1)


def _leading_zeros(numbers: Numbers) -> Numbers:
    bits = 8 * numbers.dtype.itemsize
    unsigned = numbers.view(f"u{numbers.dtype.itemsize}").astype(object)
    return np.asarray(np.vectorize(lambda number: bits - int(number).bit_length(), otypes=[np.int32])(unsigned))


_BITS: dict[str, Callable[..., Numbers]] = {
    "clz": _leading_zeros,
    "clzll": _leading_zeros,
    "popc": _bit_count,
    "popcll": _bit_count,
    "ffs": _find_first,
    "ffsll": _find_first,
    "abs": np.abs,
    "llabs": np.abs,
    "int_as_float": lambda a: a.view(np.float32),
    "uint_as_float": lambda a: a.view(np.float32),
    "float_as_int": lambda a: a.view(np.int32),
    "float_as_uint": lambda a: a.view(np.uint32),
    "longlong_as_double": lambda a: a.view(np.float64),
    "double_as_longlong": lambda a: a.view(np.int64),
    "mul24": np.multiply,
    "umul24": np.multiply,
    "sad": lambda a, b, c: np.abs(a - b) + c,
    "usad": lambda a, b, c: np.maximum(a, b) - np.minimum(a, b) + c,
    "llrint": np.rint,
    "llrintf": np.rint,
    "llround": _half_away,
    "llroundf": _half_away,
    "ilogb": lambda a: np.frexp(a)[1] - 1,
    "ilogbf": lambda a: np.frexp(a)[1] - 1,
}

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("floor", "ceil", "trunc", "exp2", "sqrt", "rint", "isnan", "signbit")},
    **{name: getattr(np, name) for name in ("copysign", "nextafter", "sin", "cos", "tan", "log2", "exp", "cosh")},
    **{name: getattr(np, name) for name in ("sinh", "tanh", "log", "log10", "log1p", "expm1", "hypot", "cbrt", "fmod")},
    **{name: getattr(np, f"arc{name[1:]}") for name in ("acos", "asin", "atan", "acosh", "asinh", "atanh", "atan2")},
    "fabs": np.abs,
    "rsqrt": lambda a: 1 / np.sqrt(a),
    "rcp": lambda a: 1 / a,
    "rcbrt": lambda a: 1 / np.cbrt(a),
    "saturate": lambda a: np.clip(np.nan_to_num(a, nan=0.0), 0.0, 1.0),
    "fma": lambda a, b, c: a * b + c,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "fdivide": np.divide,
    "exp10": lambda a: np.power(10.0, a),
    "pow": np.power,
    "powi": np.power,
    "nearbyint": np.rint,
    "finite": np.isfinite,
    "isfinited": np.isfinite,
    "isinf": np.isinf,
    "isnand": np.isnan,
    "isinfd": np.isinf,
    "signbitd": np.signbit,
    "sinpi": lambda a: np.sin(np.pi * a),
    "cospi": lambda a: np.cos(np.pi * a),
    "rhypot": lambda a, b: 1 / np.hypot(a, b),
    "norm3d": lambda a, b, c: np.sqrt(a * a + b * b + c * c),
    "rnorm3d": lambda a, b, c: 1 / np.sqrt(a * a + b * b + c * c),
    "norm4d": lambda a, b, c, d: np.sqrt(a * a + b * b + c * c + d * d),
    "rnorm4d": lambda a, b, c, d: 1 / np.sqrt(a * a + b * b + c * c + d * d),
    "j0": _special(torch.special.bessel_j0),
    "j1": _special(torch.special.bessel_j1),
    "y0": _special(torch.special.bessel_y0),
    "y1": _special(torch.special.bessel_y1),
    "cyl_bessel_i0": _special(torch.special.i0),
    "cyl_bessel_i1": _special(torch.special.i1),
    "erf": _special(torch.erf),
    "erfc": _special(torch.erfc),
    "erfcx": _special(torch.special.erfcx),
    "erfinv": _special(torch.erfinv),
    "erfcinv": lambda a: _special(torch.erfinv)(1 - a),
    "normcdf": _special(torch.special.ndtr),
    "normcdfinv": _special(torch.special.ndtri),
    "lgamma": _special(torch.lgamma),
    "tgamma": np.vectorize(_gamma, otypes=[np.float64]),
    "ldexp": np.ldexp,
    "scalbn": np.ldexp,
    "remainder": lambda a, b: a - np.rint(a / b) * b,
    "round": _half_away,
    "fdim": lambda a, b: np.maximum(a - b, 0.0),
    "logb": lambda a: np.frexp(a)[1] - 1.0,
}
