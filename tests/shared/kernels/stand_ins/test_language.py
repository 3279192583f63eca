"""What kernels may use of Triton's language, with results that a GPU would give."""

import pytest

from stages.shared.kernels.judge import Judge
from tests.shared.kernels.written_answers import IMPORTS, judged, module, right

ELEMENTWISE = """
{helpers}
{decorators}
@triton.jit
def kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    {body}
    tl.store(out_ptr + at, y, mask=at < n)


def triton_kernel_wrapper(x):
    out = torch.{allocate}(x)
    kernel[lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)](x, out, x.numel(){block})
    return out
"""
ROWS = """
@triton.jit
def kernel(x_ptr, out_ptr, N: tl.constexpr):
    at = tl.program_id(0) * N + tl.arange(0, N)
    x = tl.load(x_ptr + at)
    {body}
    tl.store(out_ptr + at, y)


def triton_kernel_wrapper(x):
    out = torch.empty_like(x)
    kernel[(x.shape[0],)](x, out, N=x.shape[1])
    return out
"""
BF16 = "[torch.randn([4, 64]).bfloat16()]"
HALF = "[torch.randn([4, 64]).half()]"


def elementwise(body: str, *, helpers: str = "", decorators: str = "", block: str = ", BLOCK=64") -> str:
    parts = {"body": body, "helpers": helpers, "decorators": decorators, "block": block, "allocate": "empty_like"}
    return IMPORTS + ELEMENTWISE.format(**parts)


TUNED = (
    '@triton.autotune(configs=[triton.Config({"BLOCK": 64}), triton.Config({"BLOCK": 128}, num_warps=8)], key=["n"])'
)
CHOSEN = '@triton.heuristics({"BLOCK": lambda args: min(64, triton.next_power_of_2(args["n"]))})'


@pytest.mark.parametrize(
    ("forward", "answer", "launches"),
    [
        (
            "x: return torch.tanh(x)",
            elementwise("y = libdevice.tanh(x)", helpers="from triton.language.extra import libdevice"),
            1,
        ),
        (
            "x: return torch.erf(x) ** 2",
            elementwise(
                "y = libdevice.pow(libdevice.erf(x), 2.0)", helpers="from triton.language.extra.cuda import libdevice"
            ),
            1,
        ),
        ("x: return torch.log1p(x)", elementwise("y = tl.extra.cuda.libdevice.log1p(x)"), 1),
        ("x: return torch.exp(x)", elementwise("y = exp(x)", helpers="from triton.language.math import exp"), 1),
        ("x: return torch.erf(x) + torch.rsqrt(x + 1)", elementwise("y = tl.math.erf(x) + tl.rsqrt(x + 1.0)"), 1),
        ("x: return torch.sigmoid(x)", elementwise("y = tl.sigmoid(x)"), 1),
        ("x: return x * 2", elementwise("y = twice(x)", helpers="@triton.jit\ndef twice(x):\n    return x * 2\n"), 1),
        ("x: return x * 2", elementwise("y = x * 2", decorators=TUNED, block=""), 2),
        ("x: return x * 2", elementwise("y = x * 2", decorators=CHOSEN, block=""), 1),
        ("x: return x * 6", elementwise("y = x * 0.0\n    for i in range(4):\n        y += x * i.to(tl.float32)"), 1),
        ("x: return x * 6", elementwise("y = x * 0.0\n    for i in tl.static_range(4):\n        y += x * i"), 1),
        ("x: return x * 3", elementwise("y = x\n    k = 0\n    while k < 2:\n        y += x\n        k += 1"), 1),
        ("x: return torch.where(x > 0.5, x, -x)", elementwise("y = tl.where(x > 0.5, x, -x)"), 1),
        ("x: return x.clamp(0.2, 0.7)", elementwise("y = tl.clamp(x, 0.2, 0.7)"), 1),
        ("x: return x * 4", elementwise("y = x * FOUR", helpers="FOUR = tl.constexpr(4)"), 1),
        ("x: return x.to(torch.int32).to(torch.float32)", elementwise("y = x.to(tl.int32).to(tl.float32)"), 1),
    ],
)
def test_elementwise(forward: str, answer: str, launches: int, judging: Judge) -> None:
    zero = ["zero_reference", "constant_reference"] if "int32" in forward else []

    assert judged(judging, answer, module(forward)) == right(launches=launches, flags=zero)


@pytest.mark.parametrize(
    ("forward", "body", "inputs"),
    [
        ("x: return x.cumsum(1)", "y = tl.cumsum(x, axis=0)", "[torch.rand([4, 64])]"),
        ("x: return x.softmax(1)", "y = tl.softmax(x)", "[torch.rand([4, 64])]"),
        ("x: return x - x.amin(1, keepdim=True)", "y = x - tl.min(x, axis=0)", "[torch.rand([4, 64])]"),
        ("x: return x.sort(1)[0]", "y = tl.sort(x)", "[torch.rand([4, 64])]"),
        ("x: return x.flip(1)", "y = tl.flip(x, 0)", "[torch.rand([4, 64])]"),
        ("x: return x.cumprod(1)", "y = tl.cumprod(x, axis=0)", "[torch.rand([4, 8]) + 0.5]"),
        ("x: return x + x * 3", "y = x + x * 3", BF16),
        ("x: return torch.where(x > 0, x, x * 0.5)", "y = tl.where(x > 0, x, x * 0.5)", BF16),
        ("x: return x.float().exp().bfloat16()", "y = tl.exp(x.to(tl.float32)).to(tl.bfloat16)", BF16),
        ("x: return x * x + 1", "y = x * x + 1", HALF),
        ("x: return x + 1", "y = x + 1", "[torch.arange(64).view(4, 16)]"),
        ("x: return ~x", "y = x == 0", "[torch.rand([4, 64]) > 0.5]"),
    ],
)
def test_rows(forward: str, body: str, inputs: str, judging: Judge) -> None:
    found = judged(judging, IMPORTS + ROWS.format(body=body), module(forward, inputs))

    assert found == right()


def product(dtype: str, options: str, step: int = 16) -> str:
    return f"""{IMPORTS}
@triton.jit
def kernel(a_ptr, b_ptr, out_ptr, K, SIDE: tl.constexpr, STEP: tl.constexpr):
    side = tl.arange(0, SIDE)
    total = tl.zeros((SIDE, SIDE), dtype=tl.float32)
    for k in range(0, tl.cdiv(K, STEP)):
        at = k * STEP + tl.arange(0, STEP)
        a = tl.load(a_ptr + side[:, None] * K + at[None, :], mask=at[None, :] < K, other=0.0)
        b = tl.load(b_ptr + at[:, None] * SIDE + side[None, :], mask=at[:, None] < K, other=0.0)
        total = tl.dot(a, b, total{options})
    tl.store(out_ptr + side[:, None] * SIDE + side[None, :], total.to(tl.{dtype}))


def triton_kernel_wrapper(a, b):
    out = torch.empty((32, 32), device=a.device, dtype=a.dtype)
    kernel[(1,)](a, b, out, a.shape[1], SIDE=32, STEP={step})
    return out
"""


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("float32", ', input_precision="ieee"'),
        ("float32", ", allow_tf32=False"),
        ("float32", ', input_precision="tf32x3"'),
        ("float16", ""),
        ("bfloat16", ""),
    ],
)
def test_products(dtype: str, options: str, judging: Judge) -> None:
    to = {"float32": "float", "float16": "half"}.get(dtype, dtype)
    inputs = f"[torch.rand([32, 70]).{to}(), torch.rand([70, 32]).{to}()]"

    assert judged(judging, product(dtype, options), module("a, b: return a @ b", inputs)) == right()


def test_a_product_in_tf32_is_not_near_enough(judging: Judge) -> None:
    inputs = "[torch.rand([32, 64]), torch.rand([64, 32])]"

    found = judged(judging, product("float32", ""), module("a, b: return a @ b", inputs))

    assert (found.verdict, found.compiles, found.correct) == ("wrong", True, False)
    assert str(found.detail).startswith("values: output: 1024 of 1024 numbers differ")


def test_a_product_over_less_than_16_is_refused_as_by_the_compiler(judging: Judge) -> None:
    inputs = "[torch.rand([32, 64]), torch.rand([64, 32])]"

    found = judged(judging, product("float32", ', input_precision="ieee"', 8), module("a, b: return a @ b", inputs))

    assert found == right(
        verdict="wrong",
        launches=0,
        compiles=False,
        correct=False,
        detail="launch: AssertionError: Input shapes should have M >= 1, N >= 1 and K >= 16",
    )


REFUSED = {
    "a block that is no constant": (
        ELEMENTWISE.replace("BLOCK: tl.constexpr", "BLOCK"),
        "launch: ValueError: arange's arguments must be of type tl.constexpr",
    ),
    "a function of Python": (
        ELEMENTWISE.replace("{helpers}", "def twice(x):\n    return x * 2\n").replace("{body}", "y = twice(x)"),
        "compile: kernel for sm_90: CompilationError: NameError(",
    ),
    "a name that is not there": (
        ELEMENTWISE.replace("{body}", "y = tl.tanh(x)"),
        "launch: AttributeError: module 'triton.language' has no attribute 'tanh'",
    ),
    "libdevice in half precision": (
        ELEMENTWISE.replace("{helpers}", "from triton.language.extra import libdevice").replace(
            "{body}", "y = libdevice.tanh(x.to(tl.float16))"
        ),
        "launch: KeyError: (triton.language.float16)",
    ),
    "more threads than a block has": (
        ELEMENTWISE.replace("{block}", ", BLOCK=64, num_warps=64"),
        "compile: kernel for sm_90: OutOfResources: out of resource: threads, Required: 2048, Hardware limit: 1024",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_compile_is_wrong(name: str, judging: Judge) -> None:
    code, detail = REFUSED[name]
    for part, text in {"body": "y = x * 2", "helpers": "", "decorators": "", "allocate": "empty_like"}.items():
        code = code.replace(f"{{{part}}}", text)

    found = judged(judging, IMPORTS + code.replace("{block}", ", BLOCK=64"), module("x: return x * 2"))

    assert (found.verdict, found.compiles) == ("wrong", False)
    assert str(found.detail).startswith(detail)


def test_shared_memory_has_a_limit(judging: Judge) -> None:
    code = product("float16", "", 64).replace("SIDE=32", "SIDE=256, num_stages=4").replace("(32, 32)", "(256, 256)")
    inputs = "[torch.rand([256, 512]).half(), torch.rand([512, 256]).half()]"

    found = judged(judging, IMPORTS + code, module("a, b: return a @ b", inputs))

    assert (found.verdict, found.compiles, found.correct) == ("wrong", False, True)
    assert str(found.detail).startswith("compile: kernel for sm_90: OutOfResources: out of resource: shared memory")


def test_memory_beside_a_tensor_holds_garbage_and_takes_no_harm(judging: Judge) -> None:
    reads = elementwise("y = x + 0.0 * tl.load(x_ptr + at)")
    code = module("x: return x * 1", "[torch.rand([5, 5])]")

    assert judged(judging, reads, code) == right()
    assert judged(judging, reads.replace("0.0 * ", ""), code.replace("x * 1", "x * 2")) == right()
    assert judged(
        judging, reads.replace("mask=at < n)\n", "mask=at < n)\n    x = tl.load(x_ptr + at - 1)\n", 1), code
    ) == right(
        verdict="wrong",
        correct=False,
        flags=["uninitialised_memory"],
        detail="values: output: 25 of 25 numbers differ, at [0, 0] expected 0.149042, got -1234.5",
    )


def test_memory_far_from_any_tensor_ends_a_kernel(judging: Judge) -> None:
    found = judged(judging, elementwise("y = tl.load(x_ptr + at * 1000000)"))

    assert found == right(
        verdict="wrong",
        launches=0,
        correct=False,
        detail="launch: IllegalAccessError: CUDA error: an illegal memory access was encountered",
    )
