import ast

import pytest

from stages.shared.code.reachable import functions
from stages.shared.code.torch_ops import KIND_OF, KINDS, torch_ops

MODULE = """
class M(nn.Module):
    def __init__(self):
        {init}
    def forward(self, x, y):
        return {call}
"""


def operations(code: str, entry: str = "M") -> list[str]:
    tree = ast.parse(code)
    start = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == entry)
    return torch_ops(functions(tree, start))


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("x @ y", ["matmul"]),
        ("torch.mm(x, y)", ["mm"]),
        ("x.mm(y)", ["mm"]),
        ("torch.einsum('ij,jk->ik', x, y)", ["einsum"]),
        ("F.linear(x, y)", ["linear"]),
        ("torch.nn.functional.conv2d(x, y)", ["conv2d"]),
        ("F.adaptive_avg_pool2d(x, 1)", ["adaptive_avg_pool2d"]),
        ("softmax(x, -1)", ["softmax"]),
        ("x.sum()", ["sum"]),
        ("torch.sum(x, dim=1)", ["sum"]),
        ("torch.linalg.vector_norm(x)", ["vector_norm"]),
        ("x.max(1)", ["max"]),
        ("x.max(-1)", ["max"]),
        ("x.max(dim=1)", ["max"]),
        ("x.max()", ["max"]),
        ("torch.min(x, 1)", ["min"]),
        ("torch.sort(x)", ["sort"]),
        ("x.topk(3)", ["topk"]),
        ("F.layer_norm(x, (3,))", ["layer_norm"]),
        ("F.scaled_dot_product_attention(x, x, y)", ["scaled_dot_product_attention"]),
        ("F.cross_entropy(x, y)", ["cross_entropy"]),
        ("torch.sum(torch.softmax(x @ y, -1))", ["sum", "softmax", "matmul"]),
        ("nn.Softmax(dim=1)(x)", ["softmax"]),
        ("[x.mean() for _ in y]", ["mean"]),
        ("(lambda z: z.mean())(x)", ["mean"]),
        # Elementwise, or not of tensors.
        ("torch.max(x, y)", []),
        ("x.min(y)", []),
        ("torch.maximum(x, y)", []),
        ("max(x, y)", []),
        ("sum([x, y])", []),
        ("sizes.sort(key=len)", []),
        ("math.prod(x.shape)", []),
        ("np.prod(x.shape)", []),
        ("tl.sum(x, 0)", []),
        ("triton.testing.sort(x)", []),
        ("torch.relu(x) * torch.exp(y) + x.view(-1).float()", []),
        ("torch.empty_like(x)", []),
        ("x.sum", []),
    ],
)
def test_calls_of_torch(call: str, found: list[str]) -> None:
    assert operations(MODULE.format(init="pass", call=call)) == found


@pytest.mark.parametrize(
    ("init", "call", "found"),
    [
        ("self.a = nn.Linear(2, 3)", "self.a(x)", ["linear"]),
        ("self.a: nn.Module = torch.nn.Conv2d(2, 3, 1)", "self.a(x)", ["conv2d"]),
        (
            "self.a = nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU(), nn.BatchNorm1d(2))",
            "self.a(x)",
            ["conv1d", "batch_norm"],
        ),
        ("self.a = nn.ModuleList([nn.Linear(2, 3)])", "self.a[0](x)", ["linear"]),
        ("self.a = self.b = nn.Softmax(-1)", "self.b(self.a(x))", ["softmax", "softmax"]),
        ("self.a = nn.LSTM(2, 3)", "self.a(x)", ["lstm"]),
        ("self.a = nn.MSELoss()", "self.a(x, y)", ["mse_loss"]),
        ("self.a = nn.Linear(2, 3)", "kernel[(1,)](x, self.a.weight)", []),
        ("self.a = nn.Linear(2, 3)", "x", []),
        ("self.a = nn.ReLU()", "self.a(x)", []),
    ],
)
def test_layers_count_where_they_are_called(init: str, call: str, found: list[str]) -> None:
    assert operations(MODULE.format(init=init, call=call)) == found


NESTED = """
@triton.jit
def kernel(x):
    tl.sum(tl.dot(x, x.softmax()))

def outer(x):
    return inner(x).mean()

def inner(x):
    x @= x
    def innermost(y):
        return y.cumsum(0)
    return innermost(x)

def unused(x):
    return x.sort()

class Block(nn.Module):
    def __init__(self):
        self.norm = nn.LayerNorm(4)
    def forward(self, x):
        return self.project(self.norm(x))
    def project(self, x):
        return outer(x)

class Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.norm()
    @staticmethod
    def backward(ctx, g):
        return g.sum()

class M(nn.Module):
    def __init__(self):
        self.block = Block()
        torch.mm(1, 2)
    def forward(self, x):
        kernel[(1,)](x)
        return Function.apply(self.block(x))
"""


def test_operations_of_helpers_and_own_classes_count_and_those_of_kernels_and_constructors_do_not() -> None:
    assert operations(NESTED) == ["mean", "matmul", "cumsum", "layer_norm", "norm"]


OWN_NAMES = """
def matmul(a, b):
    kernel[(1,)](a, b)

class Softmax(nn.Module):
    def forward(self, x):
        kernel[(1,)](x)

class M(nn.Module):
    def __init__(self):
        self.softmax, self.norm = Softmax(), None
        self.soft = Softmax()
        self.linear = nn.Linear(2, 3)
    def forward(self, x):
        return matmul(Softmax()(x), self.soft(x)), self.softmax(x), nn.Softmax()(x), self.linear(x)
"""


def test_a_function_or_class_of_the_code_with_a_name_of_torch_is_not_torch() -> None:
    assert operations(OWN_NAMES) == ["softmax", "linear"]


def test_every_operation_has_one_kind() -> None:
    names = [name for names in KINDS.values() for name in names]

    assert sorted(names) == sorted(KIND_OF)
