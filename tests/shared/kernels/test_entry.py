import inspect
from typing import Any

import pytest
import torch
from torch import nn

from stages.shared.kernels.entry import Known, arguments, build, find
from stages.shared.kernels.loading import load


class Norm(nn.Module):
    """A module with two layers, parameters and constants of its own."""

    def __init__(self, width: int, eps: float = 1e-3, *, bias: bool = True) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 3)
        self.fc2 = nn.Linear(3, 3, bias=bias)
        self.gamma = nn.Parameter(torch.ones(3))
        self.register_buffer("steps", torch.tensor(0))
        self.eps = eps
        self.sizes = (width, 3)

    def forward(self, given: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return given + mask


X, MASK = torch.zeros(1), torch.ones(1)
NORM = Known(Norm(4), [4], {"eps": 1e-3})
ONE = Known(nn.Linear(4, 3), [4, 3], {})


def called(signature: str, known: Known, *inputs: Any) -> list[Any]:
    """What each parameter of a function of that signature gets: an input, the name of a tensor, or a value."""
    function = vars(load(f"def f({signature}):\n    return locals()\n", "answer"))["f"]
    args, kwargs = arguments(function, list(inputs), known)
    bound = inspect.signature(function).bind(*args, **kwargs).arguments
    names = {id(tensor): name for name, tensor in known.state.items()} | {id(X): "X", id(MASK): "MASK"}
    values = [value for given in bound.values() for value in (given if signature.startswith("*") else [given])]
    return [names.get(id(value), value) for value in values]


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("a, b", ["X", "MASK"]),
        ("mask, given", ["X", "MASK"]),
        ("a, b=None", ["X", "MASK"]),
        ("mask, given, eps", ["MASK", "X", 1e-3]),
        ("a, b, fc1_weight, fc1_bias", ["X", "MASK", "fc1.weight", "fc1.bias"]),
        ("a, b, fc2_w, fc2_b, gamma", ["X", "MASK", "fc2.weight", "fc2.bias", "gamma"]),
        ("gamma, a, b", ["gamma", "X", "MASK"]),
        ("a, b, weight_of_nothing=7", ["X", "MASK"]),
        ("a, b, eps=1e-5, width=0, sizes=None", ["X", "MASK", 1e-3, 4, (4, 3)]),
        ("a, b, p0, p1, p2, p3, p4", ["X", "MASK", "gamma", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]),
        ("a, b, gamma, w1, b1", ["X", "MASK", "gamma", "fc1.weight", "fc1.bias"]),
        ("a, b, gamma, w1, w2, b1, b2", ["X", "MASK", "gamma", "fc1.weight", "fc2.weight", "fc1.bias", "fc2.bias"]),
        ("a, b, *, fc1_weight, eps", ["X", "MASK", "fc1.weight", 1e-3]),
        ("*all", ["X", "MASK", "gamma", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]),
    ],
)
def test_a_function_gets_what_it_asks_for(signature: str, expected: list[Any]) -> None:
    assert called(signature, NORM, X, MASK) == expected


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("x, weight, bias", ["X", "weight", "bias"]),
        ("x, w, b", ["X", "weight", "bias"]),
        ("weight, bias, x", ["weight", "bias", "X"]),
        ("x, weight=None, bias=None", ["X", "weight", "bias"]),
        ("x, gamma=None, beta=None", ["X", "weight", "bias"]),
        ("x, Weight_, BIAS", ["X", "weight", "bias"]),
        ("x, in_features, out_features", ["X", 4, 3]),
    ],
)
def test_a_layer_is_known_by_the_last_part_of_its_names(signature: str, expected: list[Any]) -> None:
    assert called(signature, ONE, X) == expected


class Convolution(nn.Module):
    def __init__(self, stride: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, stride, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x))


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("x, stride, padding", ["X", 2, (1, 1)]),
        ("x, stride=1, padding=0", ["X", 2, 1]),
        ("x, stride=(1, 1), padding=(0, 0)", ["X", (2, 2), (1, 1)]),
    ],
)
def test_a_number_for_all_dimensions_is_one_number_or_one_for_each(signature: str, expected: list[Any]) -> None:
    assert called(signature, Known(Convolution(), [], {}), X) == expected


def test_an_argument_of_the_constructor_is_no_tensor() -> None:
    known = Known(nn.Linear(4, 3, bias=False), [4, 3], {"bias": False})

    assert called("x, weight, bias=None", known, X) == ["X", "weight"]
    assert called("x, weight, bias", known, X) == ["X", "weight", None]


def test_values_come_in_order_where_no_name_fits() -> None:
    known = Known(nn.Flatten(2, 3), [2, 3], {})

    assert called("x, first, last", known, X) == ["X", 2, 3]


def test_a_function_that_wants_too_much_is_called_with_what_there_is() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'first'"):
        called("x, first, second, third", ONE, X)


def test_the_same_construction_gives_the_same_parameters() -> None:
    class Other(nn.Module):
        def __init__(self, width: int, eps: float) -> None:  # noqa: ARG002 - as the module's
            super().__init__()
            self.a, self.b = nn.Linear(width, 3), nn.Linear(3, 3)

    made = built(Other)

    assert torch.equal(made.a.weight, KNOWN.state["fc1.weight"])
    assert torch.equal(made.b.bias, KNOWN.state["fc2.bias"])


def test_parameters_of_the_same_name_are_copied() -> None:
    class Other(nn.Module):
        def __init__(self, width: int, eps: float) -> None:  # noqa: ARG002 - as the module's
            super().__init__()
            torch.rand(5)
            self.fc2, self.fc1 = nn.Linear(3, 3), nn.Linear(width, 3)
            self.gamma = nn.Parameter(torch.zeros(3))
            self.own = nn.Parameter(torch.zeros(9))

    made = built(Other)

    assert all(torch.equal(made.state_dict()[name], KNOWN.state[name]) for name in ("fc1.weight", "fc2.bias", "gamma"))
    assert made.own.tolist() == [0.0] * 9


def test_parameters_of_other_names_are_copied_in_order_when_all_shapes_agree() -> None:
    class Other(nn.Module):
        def __init__(self, width: int, eps: float) -> None:  # noqa: ARG002 - as the module's
            super().__init__()
            self.w1, self.b1 = nn.Parameter(torch.zeros(3, width)), nn.Parameter(torch.zeros(3))

    known = Known(nn.Linear(4, 3), [4, 3], {})
    made = build(Other, known, [4, 1e-3], {}, 0)

    assert torch.equal(made.w1, known.state["weight"])
    assert torch.equal(made.b1, known.state["bias"])


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("self, width, eps=1e-3", (4, 1e-3)),
        ("self, width", (4,)),
        ("self, eps", (1e-3,)),
        ("self", ()),
        ("self, sizes, more=5", ((4, 3),)),
        ("self, *args, **kwargs", (4, {"eps": 1e-3})),
    ],
)
def test_a_constructor_gets_what_it_takes(parameters: str, expected: tuple[Any, ...]) -> None:
    names = [part.split("=")[0].strip(" *") for part in parameters.split(",")[1:] if "more" not in part]
    body = f"    def __init__({parameters}):\n        self.got = [{', '.join(names)}]\n"
    entry = vars(load(f"class A:\n{body}", "answer"))["A"]

    made = build(entry, NORM, [4], {"eps": 1e-3}, 0)

    assert [value[0] if isinstance(value, tuple) and len(value) == 1 else value for value in made.got] == list(expected)


def test_the_entry_point_is_found_by_the_best_name() -> None:
    answer = load("class ModelNew: pass\nclass NormNew: pass\ntriton_kernel_wrapper = 3\n", "answer")

    assert find(answer, ["NormNew", "ModelNew"]) is vars(answer)["NormNew"]
    assert find(answer, ["AttentionNew", "ModelNew"]) is vars(answer)["ModelNew"]
    assert find(answer, ["triton_kernel_wrapper"]) is None


torch.manual_seed(3)
KNOWN = Known(Norm(4), [4], {})


def built(entry: type[nn.Module]) -> Any:
    return build(entry, KNOWN, [4, 1e-3], {}, 3)
