"""How a module is found to behave. It runs in this process: a test's modules are its own."""

import contextlib
from typing import Any

import pytest
import torch

from stages.shared.kernels.loading import ModuleError, Reference, helpers, load_reference
from stages.shared.kernels.reference import Place, expected, setting_of
from stages.shared.kernels.reports import Expected, Setting
from stages.shared.kernels.tensors import Tensor, array
from tests.shared.kernels.written_answers import module

HERE = Place(contextlib.nullcontext, lambda value: value, lambda _: None)
PLAIN: dict[str, Any] = {
    "evaluation": [False],
    "random": False,
    "grad": False,
    "by_inputs": False,
    "stateless": True,
    "varies": True,
}


def reference(code: str) -> Reference:
    with helpers():
        return load_reference(code, "Wave", "Wave")


def setting(forward: str, inputs: str = "[torch.rand([4, 4])]", more: str = "pass") -> Setting:
    code = module(forward, inputs).replace("super().__init__()", f"super().__init__()\n        {more}")
    return setting_of(reference(code), HERE)


def plain(**differences: object) -> Setting:
    return Setting(**PLAIN | differences)


@pytest.mark.parametrize(
    ("forward", "more", "differences"),
    [
        ("x: return x + 1", "pass", {}),
        ("x: return self.fc(x)", "self.fc = nn.Linear(4, 4)", {"stateless": False}),
        ("x: return self.d(x)", "self.d = nn.Dropout(0.5)", {"evaluation": [True]}),
        ("x: return self.b(x)", "self.b = nn.BatchNorm1d(4)", {"evaluation": [False, True], "stateless": False}),
        ("x: return self.b(x)", "self.b = nn.BatchNorm1d(4); self.eval()", {"stateless": False}),
        ("x: return x + torch.rand(4)", "pass", {"evaluation": [True], "random": True}),
        ("x: x.add_(1)", "pass", {"by_inputs": True}),
        ("x: return torch.autograd.grad((x.requires_grad_() ** 2).sum(), x)[0]", "pass", {"grad": True}),
    ],
)
def test_how_a_module_must_be_run(forward: str, more: str, differences: dict[str, object]) -> None:
    assert setting(forward, more=more) == plain(**differences)


def test_inputs_that_no_seed_changes_are_changed() -> None:
    assert setting("x: return x + 1", "[torch.ones([4, 4])]") == plain()
    assert setting("x: return x + 1", "[torch.arange(4)]") == plain(varies=False)


def results(code: str) -> dict[str, Expected]:
    subject = reference(code)
    return {found.case: found for found in expected(subject, setting_of(subject, HERE), HERE)}


def numbers(found: Expected) -> torch.Tensor:
    assert isinstance(found.output, Tensor)
    return torch.tensor(array(found.output))


def test_every_case_has_its_own_result() -> None:
    found = results(module("x: return x * 2", "[torch.rand([3, 2])]"))

    assert list(found) == ["first", "again", "second", "alternate"]
    first, again, second, alternate = (numbers(result) for result in found.values())
    assert not torch.equal(first, again)
    assert not torch.equal(again, second)
    assert torch.equal(alternate[:3], first)
    assert torch.allclose(alternate[3:], first * 0.5 + 0.2)


def test_a_batch_that_the_module_does_not_take_is_left_out() -> None:
    found = results(module("a, b: return a @ b", "[torch.rand([3, 5]), torch.rand([5, 2])]"))

    assert list(found) == ["first", "again", "second"]


def test_what_rounding_costs_is_measured_where_numbers_are_small() -> None:
    small = results(module("x: return (x * 1e-3).sum(1)", "[torch.rand([4, 1000])]"))["first"]
    large = results(module("x: return x.sum(1)", "[torch.rand([4, 1000])]"))["first"]
    refuses = results(module("x: return torch.rand(4, 4).fill_(0.1) @ x", "[torch.rand([4, 4])]"))["first"]

    assert len(small.noise) == 1
    assert 0 < (small.noise[0] or 0) < 1e-6
    assert large.noise == []
    assert refuses.noise == []


def test_inputs_that_the_module_changes_are_told() -> None:
    found = results(module("a, b: return a + b.add_(1)", "[torch.rand([3]), torch.rand([3])]"))

    assert [result.changed for result in found.values()] == [[1]] * 4


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def get_inputs(): return []", "the module has no class to build"),
        ("from torch import nn\nclass Wave(nn.Module): pass", "the module has no get_inputs"),
    ],
)
def test_what_is_no_module(code: str, reason: str) -> None:
    with pytest.raises(ModuleError, match=reason):
        reference(code)


@pytest.mark.parametrize(
    "given",
    ["[[4], {'bias': False}]", "[4, False]", "[[], {'width': 4, 'bias': False}]", "{'width': 4, 'bias': False}"],
)
def test_arguments_of_the_constructor_come_in_several_forms(given: str) -> None:
    code = module("x: return x").replace("[[], {}]", given)
    code = code.replace(
        "def __init__(self):", "def __init__(self, width, bias=True):\n        self.got = (width, bias)"
    )
    found = reference(code.replace("        super().__init__()\n", "").replace("nn.Module", "torch.nn.Module"))
    args, kwargs = found.arguments()

    assert dict(zip(["width", "bias"], args, strict=False)) | kwargs == {"width": 4, "bias": False}


def test_modules_that_only_the_collector_of_kernelbook_had_can_be_imported() -> None:
    code = module("x: return self.layer(x) * self.config.scale").replace(
        "super().__init__()",
        "super().__init__()\n        self.config = _mock_config(scale=3)\n        self.layer = _mock_layer(4)",
    )

    found = results("from _paritybench_helpers import _mock_config, _mock_layer\n" + code)

    assert torch.allclose(numbers(found["first"]), 3 * reference(code).inputs(11)[0])
