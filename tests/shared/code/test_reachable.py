import ast

import pytest

from stages.shared.code import reachable

CODE = """
import torch, triton

@triton.jit
def kernel(x): device(x)

@triton.jit
def device(x): pass

def launch(x): grid(x); kernel[(1,)](x)

def grid(x): return helper_value

def unused(x): kernel[(1,)](x)

class Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return launch(x)
    @staticmethod
    def backward(ctx, g): return unused(g)

class Inner(torch.nn.Module):
    def __init__(self): self.setup()
    def setup(self): unused(1)
    def forward(self, x): return self.twice(x)
    def twice(self, x): return Fused.apply(x)

class Outer(torch.nn.Module):
    def __init__(self):
        self.inner = Inner()
        self.prepare()
    def prepare(self): pass
    def forward(self, x): return self.inner(x)
    def other(self): pass

class Idle(torch.nn.Module):
    def forward(self, x): return unused(x)

def triton_kernel_wrapper(x): return launch(x)
"""


def reached(code: str, entry: str) -> list[str]:
    tree = ast.parse(code)
    start = next(node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == entry)
    return [
        f"{item.owner.name}.{item.function.name}" if item.owner else item.function.name
        for item in reachable.functions(tree, start)
    ]


def test_a_call_reaches_submodules_their_methods_functions_and_helpers_in_source_order() -> None:
    assert reached(CODE, "Outer") == [
        "launch",
        "grid",
        "Fused.forward",
        "Inner.forward",
        "Inner.twice",
        "Outer.forward",
    ]


def test_a_function_reaches_what_it_calls() -> None:
    assert reached(CODE, "triton_kernel_wrapper") == ["launch", "grid", "triton_kernel_wrapper"]


def test_what_nothing_calls_is_reached_only_as_entry_point() -> None:
    assert reached(CODE, "Idle") == ["unused", "Idle.forward"]


def test_a_constructor_runs_once_and_is_not_part_of_a_call() -> None:
    code = "class A:\n def __init__(self): self.f(); g()\n def forward(self): pass\n def f(self): pass\ndef g(): pass"

    assert reached(code, "A") == ["A.forward"]


def test_a_function_that_is_passed_on_is_reached() -> None:
    code = "def f(): pass\nclass A:\n def forward(self, x): return x.apply(f, self.g)\n def g(self): pass"

    assert reached(code, "A") == ["f", "A.forward", "A.g"]


def test_functions_that_call_each_other_end() -> None:
    code = "def f(): g()\ndef g(): f()\nclass A:\n def forward(self): f(); self.forward()"

    assert reached(code, "A") == ["f", "g", "A.forward"]


@pytest.mark.parametrize(
    ("decorator", "is_kernel"),
    [
        ("triton.jit", True),
        ("triton.jit(do_not_specialize=['n'])", True),
        ("jit", True),
        ("triton.runtime.jit", True),
        ("triton.autotune(configs=[], key=[])\n@triton.heuristics({})\n@triton.jit", True),
        ("triton.autotune(configs=[], key=[])", False),
        ("torch.jit.script", False),
        ("torch.jit", False),
        ("numba.jit", False),
        ("torch.no_grad()", False),
        ("staticmethod", False),
    ],
)
def test_a_kernel_is_known_by_its_decorator(decorator: str, is_kernel: bool) -> None:
    tree = ast.parse(f"@{decorator}\ndef f(x): pass")

    assert list(reachable.kernels(tree)) == (["f"] if is_kernel else [])


def test_kernels_are_found_wherever_they_are_defined() -> None:
    code = "if True:\n @triton.jit\n def a(): pass\nclass C:\n @staticmethod\n @triton.jit\n def b(): pass"

    assert set(reachable.kernels(ast.parse(code))) == {"a", "b"}
