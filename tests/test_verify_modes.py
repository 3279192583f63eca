"""The stage `verify` as a process, with the real engine: what is judged, what is stored, and what is found again."""

import os
import shlex
import site
import sys
from pathlib import Path

import pytest

from tests.imports import ROOT
from tests.shared.kernels.sandbox.restricted_host import python_without
from tests.verify_stage import ENDLESS, RIGHT, WRONG, VerifyStage, record, right


def test_answers_are_run_and_their_verdicts_written_in_order(tmp_path: Path) -> None:
    """Equal answers share one judgement, rows below `min_reward` have none, and a rerun judges nothing again."""
    records = [
        record("wrong", WRONG),
        record("right", RIGHT),
        record("skipped", RIGHT, reward=0.2),
        record("endless", ENDLESS),
        record("again", RIGHT),
        record("none", None),
        record("broken", "class ScaleNew("),
    ]
    stage = VerifyStage(tmp_path, records, min_reward=0.5, timeout_s=1.0)

    told = stage.succeed()

    assert "verify: 5 answers to judge, the rest is stored" in told
    columns = ("row_id", "verdict", "has_kernel", "launches", "compiles", "correct", "flags", "speedup")
    assert [tuple(row[name] for name in columns) for row in stage.rows()] == [
        ("wrong", "wrong", True, 1, True, False, [], None),
        ("right", "ok", True, 1, True, True, [], None),
        ("skipped", "unknown", None, None, None, None, [], None),
        ("endless", "unknown", True, None, None, None, ["timeout"], None),
        ("again", "ok", True, 1, True, True, [], None),
        ("none", "wrong", None, None, None, None, ["no_entry_point"], None),
        ("broken", "wrong", None, None, None, None, ["unparsed"], None),
    ]
    assert len(stage.replies()) == stage.stored() == 5
    first = stage.outs()
    assert "to judge" not in stage.succeed()
    assert stage.outs() == first


def test_two_fresh_runs_write_the_same_bytes(tmp_path: Path) -> None:
    records = [record("wrong", WRONG), *(record(f"r{n}", right(n)) for n in range(4))]
    stages = [VerifyStage(tmp_path / name, records) for name in ("one", "two")]
    for stage in stages:
        stage.succeed()

    assert stages[0].outs() == stages[1].outs()


def test_a_gpu_that_is_not_there_ends_in_one_line(tmp_path: Path) -> None:
    stage = VerifyStage(tmp_path, [record("right", RIGHT)], mode="cuda")

    last = stage.fail(PATH=os.defpath)

    assert last == "verify: mode cuda needs an NVIDIA GPU: nvidia-smi was not found"


@pytest.mark.parametrize("mode", ["interpret", "cuda"])
def test_a_missing_extra_ends_in_one_line_that_says_what_to_install(tmp_path: Path, mode: str) -> None:
    """In an installation with everything but torch and triton."""
    installed = tmp_path / "installed"
    installed.mkdir()
    for packages in site.getsitepackages():
        for entry in Path(packages).iterdir():
            if not entry.name.lower().startswith(("torch", "triton")) and not (installed / entry.name).exists():
                (installed / entry.name).symlink_to(entry)
    stage = VerifyStage(tmp_path / "stage", [record("right", RIGHT)], mode=mode)
    path = f"{stage.environment()['PYTHONPATH']}{os.pathsep}{installed}"

    last = stage.fail("-S", PYTHONPATH=path)

    assert last == f"verify: mode {mode} needs torch: uv sync --extra verify"


def test_a_host_that_cannot_confine_answers_is_refused_before_anything_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the user says that it may: then every run tells what is missing."""
    again = "import os, sys; os.execv('/usr/bin/env', ['env', sys.argv[1], sys.executable, *sys.argv[2:]])"
    words = [python_without(tmp_path, "Landlock", "namespaces"), "-c", again, f"PYTHONPATH={ROOT}"]
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    stage = VerifyStage(tmp_path / "stage", [record("right", RIGHT)])

    refusal = stage.fail()

    assert refusal.startswith("verify: this host cannot confine untrusted code (no writes outside")
    assert refusal.endswith("; set VERIFY_UNSANDBOXED=1 to run it without that protection")
    code, told = stage.run(VERIFY_UNSANDBOXED="1")
    gap = refusal.partition("; set ")[0]
    assert code == 0, told
    assert f"{gap}; VERIFY_UNSANDBOXED is set, so answers run without that protection" in told
    assert [row["verdict"] for row in stage.rows()] == ["ok"]
