import ast

import pytest

from stages.shared.specs.recorded_inputs import recorded_inputs
from stages.shared.specs.spec_linter import SpecLinter

CODE = """\
import torch
from torch import nn


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x, index):
        return torch.nn.functional.relu(x[index] * self.weight)


def get_inputs():
    return [torch.rand([4, 8]), torch.randint(0, 4, [16])]
"""
GOOD = "Write `ScaleNew` in Triton: x is float32 of shape [4, 8], index is int64 of shape [16]."
LINTER = SpecLinter("Scale", CODE, recorded_inputs(ast.parse(CODE)))


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace("[4, 8]", "4x8"),
        GOOD.replace("[4, 8]", "(4,8)"),
        GOOD.replace("[4, 8]", "4 by 8"),
        GOOD.replace("[4, 8]", "$4 \\times 8$"),
        GOOD.replace("float32", "FP32").replace("int64", "torch.long"),
        GOOD + " def forward(self, x, index)",
    ],
)
def test_a_specification_that_says_all_has_no_complaint(text: str) -> None:
    assert LINTER.complaint(text) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (GOOD.replace("ScaleNew", "Scale"), "it does not name the class `ScaleNew` to implement"),
        (GOOD.replace("ScaleNew", "ScaleNewer"), "it does not name the class `ScaleNew` to implement"),
        (GOOD.replace("Triton", "CUDA"), "it does not say that the work must be done in Triton kernels"),
        (GOOD.replace("[4, 8]", "[4, 80]"), "it does not state the shape [4, 8] of input 1"),
        (GOOD.replace("[4, 8]", "[8, 4]"), "it does not state the shape [4, 8] of input 1"),
        (GOOD.replace("[16]", "[6]"), "it does not state the shape [16] of input 2"),
        (GOOD.replace("float32", "real"), "it does not state the dtype float32 of input 1"),
        (GOOD.replace("int64", "whole"), "it does not state the dtype int64 of input 2"),
        (GOOD + " Pass the unit tests.", "it talks about tests: 'unit tests'"),
        (GOOD + " See get_inputs.", "it talks about tests: 'get_inputs'"),
        (
            GOOD + " return torch.nn.functional.relu( x[index]*self.weight )",
            "it quotes a line of the original code: 'return torch.nn.functional.relu(x[index] * self.weight)'",
        ),
    ],
)
def test_each_complaint_says_what_to_correct(text: str, complaint: str) -> None:
    assert LINTER.complaint(text) == complaint


def test_a_module_without_recorded_inputs_needs_none() -> None:
    assert SpecLinter("Scale", CODE, []).complaint("Write ScaleNew in Triton.") is None
