"""The stage `verify` under real `dvc`: verdicts filter rows, are shared, and are made once."""

import json
import shutil
from pathlib import Path

import pytest

from tests.project_copy import ProjectCopy
from tests.stages import tables
from tests.verify_stage import ENDLESS, MODULE, RIGHT, WRONG

TORCH = "from torch import nn\n\n\nclass ScaleNew(nn.Module):\n    def forward(self, x):\n        return x * 3.0\n"
ANSWERS = {"right": RIGHT, "wrong": WRONG, "endless": ENDLESS, "torch": TORCH}
REASONS = {"right": None, "wrong": "verdict", "endless": "verdict", "torch": "flag_no_kernel"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> ProjectCopy:
    """A copy whose rollouts are the answers above, verified and filtered by it, committed and pushed."""
    project = ProjectCopy(tmp_path_factory.mktemp("verify") / "project")
    base = project.folder / "data" / "sample" / "rollouts"
    row = json.loads((base / "evals.jsonl").read_text().splitlines()[0])
    shutil.rmtree(base)
    base.mkdir()
    info = row["info"] | {"python_code": MODULE, "module_name": "Scale"}
    lines = [
        json.dumps(
            row
            | {
                "info": info,
                "reward": 1.0,
                "completion": [{"role": "assistant", "content": f"<answer>\n{code}\n</answer>"}],
            }
        )
        for code in ANSWERS.values()
    ]
    (base / "evals.jsonl").write_text("\n".join(lines))
    project.set_knob("verify", "mode", "interpret")
    project.set_knob("verify", "timeout_s", 2.0)
    project.set_knob("filter_reward", "require_verdict", "ok")
    project.set_knob("filter_reward", "drop_flags", ["no_kernel"])
    project.dvc("remote", "add", "--default", "local", str(project.folder.parent / "remote"))
    assert "answers to judge" in project.dvc("repro", "filter_reward").stderr
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "verified")
    project.dvc("push")
    return project


def test_rows_are_dropped_by_their_verdicts_and_flags(project: ProjectCopy) -> None:
    kept = tables.rows(project.folder / "data" / "kept.parquet")
    metrics = json.loads((project.folder / "data" / "metrics" / "verify.json").read_text())

    assert [row["drop_reason"] for row in kept] == [REASONS[name] for name in ANSWERS]
    assert metrics["verdict"] == {"ok": 2, "unknown": 1, "wrong": 1}
    assert metrics["failure"] == {"timeout": 1, "values": 1}
    assert metrics["launches"] == {"0": 1, "1": 2}


def test_a_forced_rerun_judges_nothing_and_changes_no_byte(project: ProjectCopy) -> None:
    lock = (project.folder / "dvc.lock").read_bytes()

    told = project.dvc("repro", "--force", "--single-item", "verify")

    assert "to judge" not in told.stdout + told.stderr
    assert (project.folder / "dvc.lock").read_bytes() == lock
    assert project.git("status", "--porcelain") == ""


def test_judging_everything_anew_gives_the_same_bytes(project: ProjectCopy, tmp_path: Path) -> None:
    """In a clone without history, whose store nothing can fill."""
    clone = project.clone(tmp_path / "clone")
    shutil.rmtree(clone.folder / ".git")
    shutil.rmtree(clone.folder / ".responses")
    clone.git("init", "--quiet", "--initial-branch", "main")

    told = clone.dvc("repro", "--force", "--single-item", "verify")

    assert "verify: 4 answers to judge" in told.stderr
    assert (clone.folder / "dvc.lock").read_bytes() == (project.folder / "dvc.lock").read_bytes()


def test_a_fresh_clone_finds_the_committed_judgements(project: ProjectCopy, tmp_path: Path) -> None:
    """For another knob too, under which they are the same."""
    clone = object.__new__(ProjectCopy)
    clone.folder = tmp_path / "clone"
    project.git("clone", "--quiet", str(project.folder), str(clone.folder))
    clone.dvc("pull", "verify")
    clone.set_knob("verify", "min_reward", 0.5)

    told = clone.dvc("repro", "--pull", "filter_reward")

    assert "verify: 4 replies from 1 committed versions" in told.stderr or "4 replies from" in told.stderr
    assert "to judge" not in told.stdout + told.stderr
    assert [row["drop_reason"] for row in tables.rows(clone.folder / "data" / "kept.parquet")] == list(REASONS.values())
