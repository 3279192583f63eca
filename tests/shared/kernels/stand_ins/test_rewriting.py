"""Python in kernels means what it means to the compiler, which has to take each kernel that an answer launches."""

import pytest

from stages.shared.kernels.judge import Judge
from tests.shared.kernels.stand_ins.test_language import elementwise
from tests.shared.kernels.written_answers import IMPORTS, judged, module, right

DESCRIPTOR = (
    IMPORTS
    + """
@triton.jit
def double(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    read = tl.make_tensor_descriptor(x_ptr, [n], [1], [BLOCK])
    at = tl.program_id(0) * BLOCK
    tl.store(out_ptr + at + tl.arange(0, BLOCK), read.load([at]) * 2)


def triton_kernel_wrapper(x):
    {allocates}
    out = torch.empty_like(x)
    double[(4,)](x, out, 256, BLOCK=64)
    return out
"""
)
ALLOCATES = "triton.set_allocator(lambda size, alignment, stream: torch.empty(size, device='cuda', dtype=torch.int8))"
TWO = (
    IMPORTS
    + """
@triton.jit
def copy(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at, mask=at < n), mask=at < n)


@triton.jit
def broken(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    for _ in range(3):
        tl.store(out_ptr + at, tl.load(x_ptr + at, mask=at < n) * 2, mask=at < n)
        break


def triton_kernel_wrapper(x):
    first, out = torch.empty_like(x), torch.empty_like(x)
    copy[(4,)](x, first, x.numel(), BLOCK=64)
    broken[(4,)](first, out, x.numel(), BLOCK=64)
    return out
"""
)


@pytest.mark.parametrize(
    ("forward", "body"),
    [
        ("x: return x * ((x > 0.2) & (x < 0.7))", "y = tl.where(x > 0.2 and x < 0.7, x, 0.0)"),
        ("x: return x * ((x < 0.2) | (x > 0.7))", "y = tl.where(x < 0.2 or x > 0.7, x, 0.0)"),
        ("x: return x * ~(x < 0.2)", "y = tl.where(not (x < 0.2), x, 0.0)"),
        ("x: return x.clamp(0.2, 0.7)", "y = min(max(x, 0.2), 0.7)"),
        ("x: return torch.exp(x) + x.sqrt()", "y = x.exp() + x.sqrt()"),
        ("x: return x * -1", "y = x * 0.0\n    for i in range(-3, -2):\n        y += x * ((i // 2) % 3)"),
        ("x: return x", "y = x\n    assert n < 0"),
        ("x: return x", "y = x if BLOCK > 32 and BLOCK < 128 else -x"),
        ("x: return torch.fmax(x, torch.full_like(x, float('nan')))", "y = tl.maximum(x, float('nan'))"),
    ],
)
def test_operators_and_functions_of_python_are_those_of_kernels(forward: str, body: str, judging: Judge) -> None:
    found = judged(judging, elementwise(body), module(forward))

    assert (found.verdict, found.flags, found.detail) == ("ok", [], None)


def test_a_kernel_does_not_bring_names_to_the_code_around_it(judging: Judge) -> None:
    answer = elementwise("y = x * 2").replace("return out", "return out * math.sqrt(1)")

    found = judged(judging, answer, module("x: return x * 2"))

    assert found.detail == "exception:NameError: name 'math' is not defined"


def test_memory_of_a_tensor_descriptor_is_allocated_by_the_answer(judging: Judge) -> None:
    double = module("x: return x * 2")

    given = judged(judging, DESCRIPTOR.format(allocates=ALLOCATES), double)
    forgotten = judged(judging, DESCRIPTOR.format(allocates="pass"), double)

    assert (given.verdict, given.compiles) == ("ok", True)
    assert (forgotten.verdict, forgotten.compiles) == ("wrong", False)
    assert "triton.set_allocator was not called" in str(forgotten.detail)


def test_one_kernel_that_compiles_does_not_stand_for_another(judging: Judge) -> None:
    found = judged(judging, TWO, module("x: return x * 2"))

    assert (found.verdict, found.compiles) == ("wrong", False)
    assert str(found.detail).startswith("compile: broken for sm_90: ")


def test_what_only_the_interpreter_cannot_do_is_unknown(judging: Judge) -> None:
    helpers = "@triton.jit\ndef twice(x):\n    return x * 2\n"

    found = judged(judging, elementwise("y = tl.map_elementwise(twice, x)", helpers=helpers), module("x: return x * 2"))

    assert (found.verdict, found.correct, found.compiles) == ("unknown", None, True)
    assert str(found.detail).startswith("unsupported: the interpreter raised AttributeError")


def test_what_a_launch_returns_can_be_asked_and_launched(judging: Judge) -> None:
    answer = elementwise("y = x * 2").replace(
        "kernel[lambda meta:",
        "warm = kernel.warmup(x, out, x.numel(), BLOCK=64, grid=(1,))\n"
        "    warm._init_handles()\n"
        "    assert warm.n_regs > 0 and warm.metadata.shared >= 0\n"
        "    warm[(4, 1, 1)](x, out, x.numel())\n"
        "    kernel[lambda meta:",
    )

    assert judged(judging, answer, module("x: return x * 2")) == right(launches=2)
