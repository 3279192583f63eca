import pytest

from stages.shared.kernels.static import Inspection, inspect_answer

KERNEL = """
import torch, triton
import triton.language as tl

@triton.jit
def kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + offsets, tl.load(x_ptr + offsets, mask=offsets < n) * 2, mask=offsets < n)

def launch(x):
    out = torch.empty_like(x)
    kernel[(triton.cdiv(x.numel(), 64),)](x, out, x.numel(), BLOCK=64)
    return out
"""
CLASS = """
class {name}(torch.nn.Module):
    def forward(self, x):
        {body}
"""


def answer(body: str, name: str = "DoubleNew", more: str = "") -> str:
    return KERNEL + more + CLASS.format(name=name, body=body)


def inspect(code: str) -> Inspection:
    return inspect_answer(code, "Double", "Square_matrix")


CLEAN = Inspection("unknown", has_kernel=True)


@pytest.mark.parametrize("name", ["DoubleNew", "Square_matrixNew", "ModelNew"])
def test_an_answer_is_a_class_named_after_the_entry_point_the_module_or_model(name: str) -> None:
    assert inspect(answer("return launch(x)", name)) == CLEAN


def test_an_answer_may_be_a_function() -> None:
    assert inspect(KERNEL + "def triton_kernel_wrapper(x):\n    return launch(x)") == CLEAN


def test_the_class_of_the_entry_point_comes_before_others() -> None:
    code = answer("return launch(x)") + CLASS.format(name="ModelNew", body="return x.sum()")

    assert inspect(code) == CLEAN


@pytest.mark.parametrize("name", ["Double", "New", "doublenew", "Wrapper"])
def test_a_class_of_another_name_is_no_entry_point(name: str) -> None:
    detail = (
        "no_entry_point: expected a class DoubleNew or Square_matrixNew or ModelNew, "
        "or a function triton_kernel_wrapper"
    )

    assert inspect(answer("return launch(x)", name)) == Inspection(
        "wrong", has_kernel=True, flags=["no_entry_point"], torch_ops=[], detail=detail
    )


def test_a_name_that_is_imported_is_no_entry_point() -> None:
    detail = "no_entry_point: expected a class ANew or ModelNew, or a function triton_kernel_wrapper"

    assert inspect_answer("from m import ModelNew", None, "A") == Inspection(
        "wrong", has_kernel=False, flags=["no_kernel", "no_entry_point"], torch_ops=[], detail=detail
    )


def test_no_answer_and_no_python_are_wrong() -> None:
    assert inspect_answer(None, "A", "A") == Inspection(
        "wrong", None, ["no_entry_point"], [], "no_answer: the completion holds none"
    )
    assert inspect_answer("class ANew(:", "A", "A") == Inspection(
        "wrong", None, ["unparsed"], [], "unparsed: the answer is not valid Python"
    )


def test_an_endless_expression_is_wrong_and_not_an_error() -> None:
    code = answer("return " + " + ".join(["x"] * 1500))

    assert inspect(code).flags == ["unparsed"]


def test_code_without_a_kernel() -> None:
    code = "import torch\n" + CLASS.format(name="DoubleNew", body="return x * 2")

    assert inspect(code) == Inspection("unknown", has_kernel=False, flags=["no_kernel"])


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ("return x * 2", ""),
        ("return self.layers[0](x)", ""),
        ("return x * 2", "class Unused:\n    def forward(self, x): return launch(x)\n"),
        ("return x * 2\n    def unused(self, x): return launch(x)", ""),
        ("return x * 2\n    def __init__(self): launch(torch.ones(1))", ""),
        ("return kernel.warmup(x)", ""),
        ("return x.run()", ""),
    ],
)
def test_a_kernel_that_no_call_launches(body: str, more: str) -> None:
    assert inspect(answer(body, more=more)) == Inspection("unknown", has_kernel=True, flags=["no_launch"])


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ("return kernel[(1,)](x, x.clone(), 1, 64)", ""),
        ("kernel.run(x, torch.empty_like(x), 1, 64, grid=(1,))", ""),
        ("return self.helper(x)\n    def helper(self, x): return launch(x)", ""),
        ("return F.apply(x)", "class F(torch.autograd.Function):\n    def forward(ctx, x): return launch(x)\n"),
        ("return Inner()(x)", "class Inner(torch.nn.Module):\n    def forward(self, x): return launch(x)\n"),
    ],
)
def test_a_launch_that_a_call_reaches(body: str, more: str) -> None:
    assert inspect(answer(body, more=more)) == CLEAN


def test_heavy_operations_of_torch_are_a_fallback() -> None:
    assert inspect(answer("return launch(x).sum(0) @ x")) == Inspection(
        "unknown", has_kernel=True, flags=["torch_fallback"], torch_ops=["matmul", "sum"]
    )


TRY = "\n    try: return launch(x)\n    except Exception: return x * 2\n"


@pytest.mark.parametrize(
    ("more", "flags"),
    [
        ("def safe(x):" + TRY, ["exception_fallback"]),
        ("def safe(x):\n    try: return launch(x)\n    finally: pass\n", []),
        ("def safe(x): return launch(x)\ndef other(x):" + TRY, []),
        ("try:\n    import x\nexcept ImportError:\n    pass\ndef safe(x): return launch(x)\n", []),
    ],
)
def test_a_try_counts_where_a_call_reaches_it(more: str, flags: list[str]) -> None:
    assert inspect(answer("return safe(x)", more=more)) == Inspection("unknown", has_kernel=True, flags=flags)


def test_flags_come_in_the_order_of_the_vocabulary() -> None:
    body = "x += 1\n        try: return x.sum()\n        except Exception: pass"

    assert inspect(answer(body)) == Inspection(
        "unknown",
        has_kernel=True,
        flags=["no_launch", "torch_fallback", "exception_fallback", "in_place_input"],
        torch_ops=["sum"],
    )
