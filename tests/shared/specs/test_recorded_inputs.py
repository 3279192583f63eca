import ast

import pytest

from stages.shared.specs.recorded_inputs import RecordedInput, evaluate, recorded_arguments, recorded_inputs


def read(expression: str) -> RecordedInput:
    (found,) = recorded_inputs(ast.parse(f"def get_inputs():\n    return [{expression}]"))
    return found


@pytest.mark.parametrize(
    ("expression", "shape", "dtype", "how"),
    [
        ("torch.rand(2, 3)", (2, 3), "float32", "uniform in [0, 1)"),
        ("torch.rand([2, 3])", (2, 3), "float32", "uniform in [0, 1)"),
        ("torch.rand((2, 3))", (2, 3), "float32", "uniform in [0, 1)"),
        ("torch.rand(*[2, 3])", (2, 3), "float32", "uniform in [0, 1)"),
        ("torch.rand(size=(2, 3))", (2, 3), "float32", "uniform in [0, 1)"),
        ("torch.rand(2 * 8 // 4, 3 - -1 + 0)", (4, 4), "float32", "uniform in [0, 1)"),
        ("torch.rand([])", (), "float32", "uniform in [0, 1)"),
        ("torch.randn(4, device='cuda', requires_grad=True)", (4,), "float32", "standard normal"),
        ("torch.zeros(4, dtype=torch.float16)", (4,), "float16", "all 0"),
        ("torch.ones(4, dtype=torch.long)", (4,), "int64", "all 1"),
        ("torch.empty(0, 4)", (0, 4), "float32", "uninitialised"),
        ("torch.full((2,), 3)", (2,), "int64", "all 3"),
        ("torch.full((2,), 0.5)", (2,), "float32", "all 0.5"),
        ("torch.full((2,), True)", (2,), "bool", "all True"),
        ("torch.full(size=[2, 2], fill_value=-1)", (2, 2), "int64", "all -1"),
        ("torch.randint(10, (4,))", (4,), "int64", "integers from 0 to below 10"),
        ("torch.randint(10, size=(4,))", (4,), "int64", "integers from 0 to below 10"),
        ("torch.randint(-5, 10, [4])", (4,), "int64", "integers from -5 to below 10"),
        ("torch.randint(1, 10, size=(4,))", (4,), "int64", "integers from 1 to below 10"),
        ("torch.randint(1, high=10, size=(4,))", (4,), "int64", "integers from 1 to below 10"),
        ("torch.randint(low=1, high=10, size=(4,))", (4,), "int64", "integers from 1 to below 10"),
        ("torch.randint(high=10, size=(4,), dtype=torch.int32)", (4,), "int32", "integers from 0 to below 10"),
        ("torch.arange(5)", (5,), "int64", "counting from 0"),
        ("torch.arange(2, 5)", (3,), "int64", "counting from 2"),
        ("torch.arange(0, 5, 2)", (3,), "int64", "counting from 0 by 2"),
        ("torch.rand(4).half()", (4,), "float16", "uniform in [0, 1), cast from float32"),
        ("torch.rand(4).long()", (4,), "int64", "uniform in [0, 1), cast from float32"),
        ("torch.rand(4).to(torch.bfloat16)", (4,), "bfloat16", "uniform in [0, 1), cast from float32"),
        ("torch.rand(4).type(torch.double)", (4,), "float64", "uniform in [0, 1), cast from float32"),
        ("torch.rand(4).float()", (4,), "float32", "uniform in [0, 1)"),
        ("torch.rand(4) * 2 - 1", (4,), "float32", "uniform in [0, 1), then times 2, then minus 1"),
        ("torch.arange(4) * 2", (4,), "int64", "counting from 0, then times 2"),
        ("torch.arange(4) * 0.5", (4,), "float32", "counting from 0, then times 0.5"),
        ("torch.arange(4) / 2", (4,), "float32", "counting from 0, then divided by 2"),
        ("torch.ones(4, dtype=torch.float16) / 2", (4,), "float16", "all 1, then divided by 2"),
    ],
)
def test_a_tensor_of_literal_shape(expression: str, shape: tuple[int, ...], dtype: str, how: str) -> None:
    assert read(expression) == RecordedInput(shape, dtype, f"{dtype} tensor of shape {list(shape)}, {how}")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("5", "5"),
        ("None", "None"),
        ("[torch.rand(2)]", "list (rand of (2))"),
        ("torch.rand(n)", "rand of (`n`)"),
        ("torch.rand(x.size(0))", "rand of (the size of `x` with (0))"),
        ("torch.rand(2.5)", "rand of (2.5)"),
        ("torch.rand(-1)", "rand of ((minus 1))"),
        ("torch.rand(2, True)", "rand of (2, True)"),
        ("torch.rand(4, **options)", "rand of (4, all named in `options`)"),
        ("torch.rand(8 // 0)", "rand of ((8 integer-divided by 0))"),
        ("torch.rand(4).to('cuda')", "the to of rand of (4) with ('cuda')"),
        ("torch.rand(4) > 0.5", "(rand of (4) is greater than 0.5)"),
        ("2 * torch.rand(4)", "(2 times rand of (4))"),
        ("torch.rand_like(x)", "rand_like of (`x`)"),
        ("torch.tensor([1, 2])", "tensor of (list (1, 2))"),
        ("torch.randint()", "randint of ()"),
        ("torch.full((2,))", "full of (tuple (2))"),
        ("torch.arange(0, 5, 0)", "arange of (0, 5, 0)"),
        ("torch.arange(0.5)", "arange of (0.5)"),
        ("torch.arange(5, step=2)", "arange of (5, step = 2)"),
        ("torch.arange()", "arange of ()"),
        ("random.randint(0, 5)", "the randint of `random` with (0, 5)"),
        (f"torch.rand({10**30})", f"rand of ({10**30})"),
        (
            f"torch.rand(4 * {10**400} // {10**400})",
            f"rand of (((4 times {hex(10**400)}) integer-divided by {hex(10**400)}))",
        ),
    ],
)
def test_what_only_running_the_code_would_give_is_put_into_words(expression: str, words: str) -> None:
    assert read(expression) == RecordedInput(None, None, f"made as {words}")


CODE = """
import torch
N = 8
M = N * 2
BAD = open("x")

def get_inputs():
    return [torch.rand(1)]

def get_inputs():
    N = 4
    rows, x = 3, torch.rand(1)
    x = torch.rand(N, M)
    y = torch.randint(0, N, (BAD,))
    return x, y, torch.zeros(M), rows

def get_init_inputs():
    return [M, "mean", N / 3, BAD, -1.5, [N, M], None]
"""


def test_names_of_constants_and_of_tensors_are_looked_up() -> None:
    assert recorded_inputs(ast.parse(CODE)) == [
        RecordedInput((4, 16), "float32", "float32 tensor of shape [4, 16], uniform in [0, 1)"),
        RecordedInput(None, None, "made as randint of (0, `N`, tuple (`BAD`))"),
        RecordedInput((16,), "float32", "float32 tensor of shape [16], all 0"),
        RecordedInput(None, None, "made as `rows`"),
    ]


def test_constructor_arguments_are_given_flat() -> None:
    assert recorded_arguments(ast.parse(CODE)) == [
        "16",
        "'mean'",
        "2.6666666666666665",
        "`BAD`",
        "-1.5",
        "[8, 16]",
        "None",
    ]


@pytest.mark.parametrize(
    ("returned", "arguments"),
    [
        ("[[4, 'a'], {'bias': False, 'n': N}]", ["4", "'a'", "bias = False", "n = `N`"]),
        ("[[], {'size': 4}]", ["size = 4"]),
        ("[[], {}]", []),
        ("[]", []),
        ("[[1, 2], [3]]", ["[1, 2]", "[3]"]),
        ("[[1], {}, 2]", ["[1]", "dict ()", "2"]),
    ],
)
def test_constructor_arguments_are_given_as_arguments_and_keywords(returned: str, arguments: list[str]) -> None:
    assert recorded_arguments(ast.parse(f"def get_init_inputs():\n    return {returned}")) == arguments


@pytest.mark.parametrize("code", ["", "def get_inputs(): pass", "def get_inputs(): return make()", "get_inputs = 1"])
def test_nothing_literal_is_nothing_recorded(code: str) -> None:
    assert recorded_inputs(ast.parse(code)) == []
    assert recorded_arguments(ast.parse(code)) == []


def test_an_expression_is_evaluated_without_running_it() -> None:
    node = ast.parse("[-(N + 1) * 2.0, ('a', None), 7 // 2]", mode="eval").body

    assert evaluate(node, {"N": 3}) == [-8.0, ["a", None], 3]
