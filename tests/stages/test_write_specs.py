import json
from pathlib import Path

import pytest

from stages.shared.code.syntax import entry_point
from stages.shared.specs.template_spec import specification
from stages.write_specs import Params, run
from tests.stages import tables

TEMPLATE = Params(writer="template", **tables.MODEL)
SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample" / "modules.jsonl"
MODULE = '''\
import torch
from torch import nn


class Scale(nn.Module):
    """Documented."""

    def __init__(self, size, eps=1e-05):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x, dim=1):
        # the mean of rows
        mean = x.mean(dim, keepdim=True)
        return self.gain * (x - mean) / (mean + self.eps)


def get_inputs():
    return [torch.rand([4, 8])]


def get_init_inputs():
    return [[], {"size": 8}]
'''
TEXT = """\
Write Triton kernels for the following PyTorch module, `Scale`.

## Computation
- Set `mean` to the mean of `x` with (`dim`, keepdim = True).
- Return ((its `gain` times (`x` minus `mean`)) divided by (`mean` plus its `eps`)).

## Inputs
- `x`: float32 tensor of shape [4, 8], uniform in [0, 1)

## Interface
- Constructor arguments: `size`, `eps` (by default 1e-05).
- Arguments of `forward`: `x`, `dim` (by default 1).
- An instance is built with (size = 8).
- `Scale` (a `Module`) sets up, with the names and shapes of its parameters kept:
  - Set its `gain` to Parameter of (ones of (`size`)).
  - Set its `eps` to `eps`.

## Requirements
- Write a complete Python file that defines a class `ScaleNew` from `torch.nn.Module`, with the interface above.
- Do the computation in Triton kernels (`@triton.jit`) that `forward` launches, not in PyTorch operations.
- Any batch size must work, not only that of the recorded inputs.
- Inputs must not be modified unless the specification says so, and outputs must have the shape and dtype that the \
described computation gives."""


def described(code: str) -> str | None:
    return specification({"python_code": code, "entry_point": entry_point(code)})


def test_a_specification_says_everything_but_the_code() -> None:
    assert described(MODULE) == TEXT


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("eps=1e-05", "eps=1e-06"),
        ("dim=1", "dim=0"),
        (", dim=1", ", dim"),
        ("mean(dim, keepdim=True)", "mean(1, keepdim=True)"),
        ("keepdim=True", "keepdim=False"),
        (".mean(", ".sum("),
        ("x - mean", "x + mean"),
        ("x - mean", "mean - x"),
        ("self.gain * (x - mean)", "self.gain * x - mean"),
        ("torch.ones(size)", "torch.zeros(size)"),
        ("torch.rand([4, 8])", "torch.rand([4, 9])"),
        ("torch.rand", "torch.randn"),
        ('"size": 8', '"size": 9'),
    ],
)
def test_modules_that_compute_something_else_read_differently(part: str, other: str) -> None:
    assert part in MODULE
    assert described(MODULE.replace(part, other)) != TEXT


@pytest.mark.parametrize(
    ("part", "other"), [("# the mean of rows", "# rows"), ('"""Documented."""', ""), ("1e-05", "0.00001")]
)
def test_comments_docstrings_and_the_spelling_of_numbers_are_not_told(part: str, other: str) -> None:
    assert part in MODULE
    assert described(MODULE.replace(part, other)) == TEXT


def test_the_entry_point_is_described_and_not_the_class_beside_it() -> None:
    code = MODULE + "\n\nclass Beside(nn.Module):\n    def forward(self, x):\n        return x\n"

    assert specification({"python_code": code, "entry_point": "Scale"}) == TEXT


def test_functions_and_classes_that_forward_reaches_are_described() -> None:
    code = MODULE.replace("x.mean(dim, keepdim=True)", "centre(x)")
    text = described(code + "\n\ndef centre(x, k=3):\n    return x.mean(k)\n")

    assert text is not None
    assert "`centre`, which takes `x`, `k` (by default 3):\n- Return the mean of `x` with (`k`)." in text


def test_functions_that_only_the_constructor_reaches_are_described() -> None:
    """A layer's kernel size and an initial value may stand in a function that builds it."""
    code = MODULE.replace("self.eps = eps\n", "self.eps = eps\n        self.reset(tie(size))\n")
    code = code.replace("    def forward", "    def reset(self, layer):\n        self.layer = layer\n\n    def forward")
    text = described(code + "\n\ndef tie(size):\n    return nn.Conv1d(size, size, kernel_size=3)\n")

    assert text is not None
    assert (
        "\n\n`tie`, which takes `size`:\n- Return Conv1d of (`size`, `size`, kernel_size = 3).\n"
        "\n`reset`, which takes `layer`:\n- Set its `layer` to `layer`.\n\n## Requirements\n"
    ) in text


@pytest.mark.parametrize("code", ["", "class Scale(", "x = 1\n"])
def test_code_without_a_module_class_has_no_specification(code: str) -> None:
    assert described(code) is None


def test_the_modules_of_the_sample_have_as_many_texts() -> None:
    modules = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    texts = [specification(module | {"entry_point": module.get("entry_point")}) for module in modules]

    assert None not in texts
    assert len(set(texts)) == len(modules) == 46


def test_run_keeps_every_module_also_without_a_text(tmp_path: Path) -> None:
    scale = {"python_code": MODULE, "entry_point": "Scale"}
    files = tables.write(
        tmp_path,
        modules=[
            {"module_id": "m2", **scale},
            {"module_id": "m1", "python_code": "", "entry_point": None},
            {"module_id": "m3", **scale},
        ],
    )

    metrics = run(TEMPLATE, **files, specs=tmp_path / "specs.parquet", **tables.model_files(tmp_path, "write_specs"))

    assert tables.rows(tmp_path / "specs.parquet") == [
        {"module_id": "m2", "prompt": TEXT, "writer": "template", "request_keys": []},
        {"module_id": "m1", "prompt": None, "writer": "template", "request_keys": []},
        {"module_id": "m3", "prompt": TEXT, "writer": "template", "request_keys": []},
    ]
    assert metrics == {
        "rows_in": 3,
        "kept": 3,
        "without_text": 1,
        "different_texts": 1,
        "mean_characters": float(len(TEXT)),
    }


def test_no_modules_give_an_empty_table(tmp_path: Path) -> None:
    files = tables.write(tmp_path, modules=[])

    metrics = run(TEMPLATE, **files, specs=tmp_path / "specs.parquet", **tables.model_files(tmp_path, "write_specs"))

    assert tables.rows(tmp_path / "specs.parquet") == []
    assert metrics == {"rows_in": 0, "kept": 0, "without_text": 0, "different_texts": 0, "mean_characters": None}


def test_a_wrong_writer_is_named(tmp_path: Path) -> None:
    message = tables.knob_message(tmp_path, "write_specs", Params, TEMPLATE.model_dump() | {"writer": "human"})

    assert message == "write_specs.writer: Input should be 'template' or 'llm' (got 'human')"
