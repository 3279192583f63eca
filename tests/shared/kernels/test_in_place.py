import ast

import pytest

from stages.shared.code.reachable import functions, kernels
from stages.shared.kernels.in_place import modified_inputs

KERNELS = """
@triton.jit
def copy(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + offsets, tl.load(x_ptr + offsets))

@triton.jit
def scale(x_ptr, n):
    row = x_ptr + tl.program_id(0) * n
    row += tl.arange(0, 64)
    tl.store(row, tl.load(row) * 2)

@triton.jit
def count(x_ptr, total_ptr):
    tl.atomic_add(total_ptr, tl.sum(tl.load(x_ptr)))

@triton.jit
def block(x_ptr, out_ptr):
    p = tl.make_block_ptr(base=out_ptr, shape=(4,), strides=(1,), offsets=(0,), block_shape=(4,), order=(0,))
    tl.store(pointer=tl.advance(p, (1,)), value=tl.load(x_ptr))

@triton.jit
def gather(index_ptr, out_ptr):
    at = tl.load(index_ptr)
    tl.store(out_ptr + at, 1)
"""
HELPERS = """
def touch(a, b):
    b.mul_(2)

def deeper(z):
    touch(None, z)

def fresh(a):
    a = a.clone()
    a.mul_(2)
    return a

class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, given, scale):
        scale_in_place(given)
        return given

def scale_in_place(t):
    scale[(1,)](t, 1)
"""


def modified(*body: str, methods: str = "") -> set[str]:
    lines = "\n".join(f"        {line}" for line in body)
    tree = ast.parse(f"{KERNELS}{HELPERS}\nclass ANew:\n    def forward(self, x, y):\n{lines}\n{methods}")
    entry = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "ANew")
    return modified_inputs("ANew", functions(tree, entry), kernels(tree))


@pytest.mark.parametrize(
    ("body", "names"),
    [
        # Python and torch
        ("x += 1", {"x"}),
        ("x[0] = 1", {"x"}),
        ("x[0, :] *= y", {"x"}),
        ("x.data[0] = 1", {"x"}),
        ("x.add_(1)", {"x"}),
        ("torch.relu_(x)", {"x"}),
        ("y = torch.add(x, 1, out=x)", {"x"}),
        ("F.relu(x, inplace=True)", {"x"}),
        ("x.copy_(y).add_(1)", {"x"}),
        ("y.copy_(x)", {"y"}),
        ("x.add_(1); y.mul_(2)", {"x", "y"}),
        ("if y is None: x += 1", {"x"}),
        ("for i in range(3): x[i] = 0", {"x"}),
        # aliases
        ("z = x; z += 1", {"x"}),
        ("z = x.view(-1)[1:]; z[0] = 1", {"x"}),
        ("z = x.contiguous().T; z.fill_(0)", {"x"}),
        ("z = w = x; w += 1", {"x"}),
        ("z = x; x = x.clone(); z += 1", {"x"}),
        # kernels
        ("scale[(1,)](x, 1)", {"x"}),
        ("copy[(1,)](x, y, 1, BLOCK=64)", {"y"}),
        ("copy[(1,)](x, out_ptr=y, n=1, BLOCK=64)", {"y"}),
        ("copy[(1,)](x, x, 1, BLOCK=64)", {"x"}),
        ("count[(1,)](x, y)", {"y"}),
        ("block[(1,)](x, y)", {"y"}),
        ("gather[(1,)](x, y)", {"y"}),
        ("scale[(1,)](x.view(-1), 1)", {"x"}),
        # functions
        ("touch(x, y)", {"y"}),
        ("touch(b=x, a=y)", {"x"}),
        ("deeper(x)", {"x"}),
        ("Doubled.apply(x, y)", {"x"}),
        # not in place
        ("x = x.clone(); x += 1", set()),
        ("x = x + 1; x += 1", set()),
        ("out = torch.empty_like(x); copy[(1,)](x, out, 1, BLOCK=64); return out", set()),
        ("z = x.clone(); scale[(1,)](z, 1)", set()),
        ("fresh(x)", set()),
        ("x.requires_grad_(); x.__len__(); n = x.numel(); n += 1", set()),
        ("F.relu(x, inplace=False)", set()),
        ("z = [x]; z[0] = 1", set()),
        ("n = x.shape[0]; n += 1", set()),
        ("return x.sum() + x[0] + y.add(1)", set()),
        ("self.calls += 1; self.cache[0] = x", set()),
    ],
)
def test_inputs_that_are_written_to(body: str, names: set[str]) -> None:
    assert modified(body) == names


def test_a_method_is_followed() -> None:
    methods = "    def step(self, a, b):\n        self.step2(b)\n    def step2(self, c):\n        c += 1"

    assert modified("self.step(x, y)", methods=methods) == {"y"}


def test_methods_that_call_each_other_end() -> None:
    methods = "    def a(self, x, y): self.b(y, x)\n    def b(self, x, y):\n        self.a(y, x)\n        x += 1"

    assert modified("self.a(x, y)", methods=methods) == {"y"}


def test_the_arguments_of_a_plain_function_are_inputs() -> None:
    tree = ast.parse(KERNELS + "def triton_kernel_wrapper(x, /, y, *, z):\n    scale[(1,)](y, 1)\n    z += 1")
    entry = tree.body[-1]
    assert isinstance(entry, ast.FunctionDef)

    assert modified_inputs("triton_kernel_wrapper", functions(tree, entry), kernels(tree)) == {"y", "z"}
