import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages.verify import Params, run, verdict
from tests.imports import ROOT
from tests.stages import tables

ALL = Params(mode="static", min_reward=0.0, timeout_s=30.0)
KERNEL = """\
import triton
from torch import nn


@triton.jit
def add(a, b, out):
    pass


class AddNew(nn.Module):
    def forward(self, a, b):
        add[(1,)](a, b, out)
        return out
"""
FALLBACK = """\
class AddNew:
    def forward(self, a, b):
        total = a.sum(1)
        return total @ b
"""
NOT_LOOKED_AT: tables.Row = {
    "row_id": "r",
    "verdict": "unknown",
    "has_kernel": None,
    "flags": [],
    "torch_ops": [],
    "detail": "not_looked_at: the reward is below verify.min_reward",
}


def test_a_launched_kernel_without_torch_operations_has_no_flag() -> None:
    found = verdict((tables.record("r", answer=KERNEL), 0.0))

    assert found == {
        "row_id": "r",
        "verdict": "unknown",
        "has_kernel": True,
        "flags": [],
        "torch_ops": [],
        "detail": None,
    }


@pytest.mark.parametrize(
    ("answer", "flags", "detail"),
    [
        (None, ["no_entry_point"], "no_answer: the completion holds none"),
        ("class AddNew(", ["unparsed"], "unparsed: the answer is not valid Python"),
        (
            "x = 1",
            ["no_kernel", "no_entry_point"],
            "no_entry_point: expected a class AddNew or ModelNew, or a function triton_kernel_wrapper",
        ),
    ],
)
def test_an_answer_that_cannot_be_called_is_wrong(answer: str | None, flags: list[str], detail: str) -> None:
    found = verdict((tables.record("r", answer=answer), 0.0))

    assert (found["verdict"], found["flags"], found["detail"]) == ("wrong", flags, detail)


@pytest.mark.parametrize("reward", [None, 0.49, -1.0])
def test_rows_below_min_reward_are_not_looked_at(reward: float | None) -> None:
    assert verdict((tables.record("r", answer="class AddNew(", reward=reward), 0.5)) == NOT_LOOKED_AT


@pytest.mark.parametrize(("reward", "min_reward"), [(0.5, 0.5), (None, 0.0), (-1.0, 0.0)])
def test_rows_at_min_reward_are_looked_at_and_zero_looks_at_all(reward: float | None, min_reward: float) -> None:
    assert verdict((tables.record("r", answer="class AddNew(", reward=reward), min_reward))["flags"] == ["unparsed"]


def test_the_class_may_be_named_after_the_entry_point_the_module_or_model() -> None:
    names = {"entry_point": "Model", "module_name": "Square"}
    code = "class {}:\n    def forward(self, a):\n        return a\n"
    verdicts = [
        verdict((tables.record("r", answer=code.format(name), **names), 0))
        for name in ("ModelNew", "SquareNew", "AddNew")
    ]

    assert [found["verdict"] for found in verdicts] == ["unknown", "unknown", "wrong"]


def test_run_writes_a_verdict_for_every_record_in_order_and_counts(tmp_path: Path) -> None:
    files = tables.write(
        tmp_path,
        records=[
            tables.record("r2", answer=KERNEL),
            tables.record("r1", answer=FALLBACK),
            tables.record("r3", answer=None),
        ],
    )

    outs = {"verdicts": tmp_path / "verdicts.parquet", "responses": tmp_path / "responses.jsonl"}
    metrics = run(ALL, **files, **outs)

    assert outs["responses"].read_bytes() == b""
    nothing = {"launches": None, "compiles": None, "correct": None, "speedup": None}
    assert tables.rows(tmp_path / "verdicts.parquet") == [
        verdict((tables.record("r2", answer=KERNEL), 0.0)) | nothing,
        {
            "row_id": "r1",
            "verdict": "unknown",
            "has_kernel": False,
            "flags": ["no_kernel", "torch_fallback"],
            "torch_ops": ["sum", "matmul"],
            "detail": None,
        }
        | nothing,
        {
            "row_id": "r3",
            "verdict": "wrong",
            "has_kernel": None,
            "flags": ["no_entry_point"],
            "torch_ops": [],
            "detail": "no_answer: the completion holds none",
        }
        | nothing,
    ]
    assert metrics == {
        "rows_in": 3,
        "kept": 3,
        "verdict": {"unknown": 2, "wrong": 1},
        "flag": {"no_kernel": 1, "torch_fallback": 1, "no_entry_point": 1},
        "torch_op": {"sum": 1, "matmul": 1},
        "failure": {"no_answer": 1},
        "launches": {},
        "judgements": 0,
    }


def test_no_records_give_an_empty_table(tmp_path: Path) -> None:
    outs = {"verdicts": tmp_path / "verdicts.parquet", "responses": tmp_path / "responses.jsonl"}
    metrics = run(ALL, **tables.write(tmp_path, records=[]), **outs)

    assert tables.rows(tmp_path / "verdicts.parquet") == []
    nothing: dict[str, int] = {}
    assert metrics == {
        "rows_in": 0,
        "kept": 0,
        "verdict": nothing,
        "flag": nothing,
        "torch_op": nothing,
        "failure": nothing,
        "launches": nothing,
        "judgements": 0,
    }


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"mode": "gpu"}, "verify.mode: Input should be 'static', 'interpret' or 'cuda' (got 'gpu')"),
        ({"min_reward": -0.1}, "verify.min_reward: Input should be greater than or equal to 0 (got -0.1)"),
        ({"min_reward": math.nan}, "verify.min_reward: Input should be a finite number (got nan)"),
        ({"timeout_s": 0}, "verify.timeout_s: Input should be greater than 0 (got 0)"),
        ({"timeout_s": math.inf}, "verify.timeout_s: Input should be a finite number (got inf)"),
        ({"gpu": 1}, "verify.gpu: Extra inputs are not permitted (got 1)"),
    ],
)
def test_a_wrong_knob_is_named(tmp_path: Path, knobs: tables.Row, message: str) -> None:
    assert tables.knob_message(tmp_path, "verify", Params, ALL.model_dump() | knobs) == message


@pytest.mark.parametrize("knob", Params.model_fields)
def test_a_missing_knob_is_named(tmp_path: Path, knob: str) -> None:
    knobs = {name: value for name, value in ALL.model_dump().items() if name != knob}

    assert tables.knob_message(tmp_path, "verify", Params, knobs) == f"verify.{knob}: Field required"


def test_reading_syntax_trees_imports_nothing_heavy(tmp_path: Path) -> None:
    """The default mode must work, and fast, where the extra is not installed."""
    tables.write(tmp_path, records=[tables.record("r", answer=KERNEL)])
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"verify": ALL.model_dump()}))
    words = ["--records", "records.parquet", "--verdicts", "v.parquet", "--responses", "r.jsonl", "--metrics", "m.json"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "stages.verify", *words],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    assert "stages.shared.kernels.static" in imported
    assert imported & {"torch", "triton", "openai", "dvc", "stages.shared.kernels.judge"} == set()
