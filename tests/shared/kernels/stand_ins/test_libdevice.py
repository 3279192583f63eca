import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from triton.language.extra.cuda import libdevice as declared

from stages.shared.kernels.stand_ins.libdevice import compute

SYMBOLS = re.findall(r'"__nv_(\w+)", core\.dtype\("(\w+)"\)', Path(declared.__file__).read_text())
DTYPES = {"fp32": "float32", "fp64": "float64"}
MISSING = {"byte_perm", "mulhi", "umulhi", "mul64hi", "umul64hi", "brev", "brevll", "rcp64h", "hiloint2double"}
MISSING |= {"double2loint", "double2hiint", "hadd", "uhadd", "rhadd", "urhadd", "ynf", "yn", "jnf", "jn"}
X = np.array([-2.5, -1.0, -0.3, 0.0, 0.4, 1.0, 2.5], dtype=np.float32)
POSITIVE = np.abs(X) + np.float32(0.1)
UNIT = np.clip(X, -0.9, 0.9)


@pytest.mark.parametrize(
    ("symbol", "given", "expected"),
    [
        ("tanhf", X, np.tanh(X)),
        ("erff", X, torch.erf(torch.from_numpy(X)).numpy()),
        ("erfinvf", UNIT, torch.erfinv(torch.from_numpy(UNIT)).numpy()),
        ("lgammaf", POSITIVE, torch.lgamma(torch.from_numpy(POSITIVE)).numpy()),
        ("tgammaf", POSITIVE, np.array([math.gamma(x) for x in POSITIVE])),
        ("fabsf", X, np.abs(X)),
        ("rsqrtf", POSITIVE, 1 / np.sqrt(POSITIVE)),
        ("fast_expf", X, np.exp(X)),
        ("fast_logf", POSITIVE, np.log(POSITIVE)),
        ("fsqrt_rn", POSITIVE, np.sqrt(POSITIVE)),
        ("frcp_rn", POSITIVE, 1 / POSITIVE),
        ("roundf", X, np.array([-3, -1, 0, 0, 0, 1, 3])),
        ("rintf", X, np.rint(X)),
        ("asinhf", X, np.arcsinh(X)),
        ("cbrtf", X, np.cbrt(X)),
        ("exp10f", X, 10.0**X),
        ("sinpif", X, np.sin(np.pi * X)),
        ("normcdff", X, torch.special.ndtr(torch.from_numpy(X)).numpy()),
        ("saturatef", X, np.clip(X, 0, 1)),
    ],
)
def test_functions_of_one_number(symbol: str, given: np.ndarray, expected: np.ndarray) -> None:
    found = compute(f"__nv_{symbol}", [given], np.dtype("float32"))

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("symbol", "arguments", "expected"),
    [
        ("powf", [POSITIVE, X], POSITIVE**X),
        ("fast_powf", [POSITIVE, X], POSITIVE**X),
        ("fdiv_rn", [X, POSITIVE], X / POSITIVE),
        ("fast_fdividef", [X, POSITIVE], X / POSITIVE),
        ("fadd_rn", [X, POSITIVE], X + POSITIVE),
        ("fmul_rz", [X, X], X * X),
        ("atan2f", [X, POSITIVE], np.arctan2(X, POSITIVE)),
        ("fmaf", [X, X, POSITIVE], X * X + POSITIVE),
        ("fmodf", [X, POSITIVE], np.fmod(X, POSITIVE)),
        ("remainderf", [X, POSITIVE], [math.remainder(a, b) for a, b in zip(X, POSITIVE, strict=True)]),
        ("hypotf", [X, POSITIVE], np.hypot(X, POSITIVE)),
        ("copysignf", [POSITIVE, X], np.copysign(POSITIVE, X)),
        ("fdimf", [X, POSITIVE], np.maximum(X - POSITIVE, 0)),
        ("norm3df", [X, X, X], np.sqrt(3 * X * X)),
    ],
)
def test_functions_of_more_numbers(symbol: str, arguments: list[np.ndarray], expected: np.ndarray) -> None:
    found = compute(f"__nv_{symbol}", arguments, np.dtype("float32"))

    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


def test_bits_and_conversions() -> None:
    ints = np.array([0, 1, 8, -1], dtype=np.int32)

    assert compute("__nv_popc", [ints], np.dtype("int32")).tolist() == [0, 1, 1, 32]
    assert compute("__nv_clz", [ints], np.dtype("int32")).tolist() == [32, 31, 28, 0]
    assert compute("__nv_ffs", [ints], np.dtype("int32")).tolist() == [0, 1, 4, 1]
    assert compute("__nv_float2int_rd", [X], np.dtype("int32")).tolist() == [-3, -1, -1, 0, 0, 1, 2]
    assert compute("__nv_float2int_rz", [X], np.dtype("int32")).tolist() == [-2, -1, 0, 0, 0, 1, 2]
    assert compute("__nv_float_as_int", [X[:1]], np.dtype("int32")).tolist() == [X[:1].view(np.int32)[0]]
    assert compute("__nv_isnanf", [np.array([1, math.nan])], np.dtype("int32")).tolist() == [0, 1]
    assert compute("__nv_isinff", [np.array([1, math.inf])], np.dtype("int32")).tolist() == [0, 1]


def test_every_function_that_triton_declares_has_a_stand_in_but_for_known_ones() -> None:
    assert {symbol for symbol, result in SYMBOLS if not has_stand_in(symbol, DTYPES.get(result, result))} == MISSING


def has_stand_in(symbol: str, result: str) -> bool:
    """Whether it computes something of one to four numbers, of the type that it takes."""
    of_integers = re.match(r"(clz|popc|ffs|abs$|llabs|u?mul24|u?sad|u?int(2|_as)|u?ll2|longlong)", symbol)
    given = np.ones(
        2, dtype=f"{'int' if of_integers else 'float'}{64 if re.match('double_as|longlong', symbol) else 32}"
    )
    for arguments in ([given], [given] * 2, [given, np.ones(2, dtype=np.int32)], [given] * 3, [given] * 4):
        try:
            return compute(f"__nv_{symbol}", arguments, np.dtype(result)).shape == (2,)
        except NotImplementedError:
            return False
        except TypeError:
            continue  # it takes other arguments
    raise AssertionError(symbol)
