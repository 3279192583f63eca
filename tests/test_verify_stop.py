"""The stage `verify` as a process that is stopped: no judgement is lost, none is made twice, nothing stays behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil

from stages.shared.responses.response_store import StoredReply
from tests.verify_stage import VerifyStage, record, right

ANSWERS = 16


def made(folder: Path) -> VerifyStage:
    return VerifyStage(folder, [record(f"r{n}", right(n)) for n in range(ANSWERS)])


def wait_for(what: Callable[[], bool]) -> None:
    """Poll until it holds."""
    for _ in range(3000):
        if what():
            return
        time.sleep(0.02)
    raise AssertionError("it never came")


def left_of(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run, once those that were warming up have noticed that nobody listens."""
    return psutil.wait_procs(processes, timeout=60)[1]


def verdicts(stage: VerifyStage) -> set[str]:
    """Of all that is stored."""
    segments = (stage.folder / ".responses").glob("*.jsonl")
    lines = [line for segment in segments for line in segment.read_bytes().splitlines()]
    return {msgspec.json.decode(line, type=StoredReply).reply["verdict"] for line in lines}


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """Only the rest is judged, and nothing tells the two runs from one that nobody stopped."""
    stage, whole = made(tmp_path / "killed"), made(tmp_path / "whole")
    running = stage.start()
    wait_for(lambda: stage.stored() >= 3)
    processes = psutil.Process(running.pid).children(recursive=True)
    running.kill()
    running.communicate()
    kept = stage.stored()

    assert left_of(processes) == []
    assert 3 <= kept < ANSWERS
    assert f"verify: {ANSWERS - kept} answers to judge, the rest is stored" in stage.succeed()
    assert stage.stored() == ANSWERS
    whole.succeed()
    assert stage.outs() == whole.outs()


def test_a_signal_to_the_whole_group_keeps_every_judgement_and_invents_none(tmp_path: Path) -> None:
    """As Ctrl-C does it: the processes that run the answers are not hit, or a crash would be stored."""
    stage = made(tmp_path)
    running = stage.start()
    wait_for(lambda: stage.stored() >= 3)
    processes = psutil.Process(running.pid).children(recursive=True)
    began = time.monotonic()
    os.killpg(running.pid, signal.SIGINT)
    told = running.communicate(timeout=20)[1]

    assert running.returncode == 1
    assert told.splitlines()[-1] == "verify: stopped by SIGINT; run again to go on"
    assert time.monotonic() - began < 5
    assert left_of(processes) == []
    assert 3 <= stage.stored() < ANSWERS
    assert verdicts(stage) == {"ok"}
    assert not (tmp_path / "verdicts.parquet").exists()


def test_a_run_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    stage = made(tmp_path)
    script = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    parent = subprocess.Popen(
        [sys.executable, "-c", script, *stage.words()],
        cwd=tmp_path,
        env=stage.environment(),
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: stage.stored() >= 2)
    processes = psutil.Process(parent.pid).children(recursive=True)
    parent.kill()
    parent.wait()

    assert left_of(processes) == []
    assert 2 <= stage.stored() < ANSWERS
    assert not (tmp_path / "verdicts.parquet").exists()


def test_two_runs_at_once_judge_each_answer_once(tmp_path: Path) -> None:
    """In two workspaces with one store, as experiments beside the workspace are."""
    one, two = made(tmp_path / "one"), made(tmp_path / "two")
    shared = {"RESPONSE_STORE": str(tmp_path / "one" / ".responses")}
    first = one.start(**shared)
    wait_for(lambda: one.stored() >= 1)
    code, told = two.run(**shared)

    assert code == first.wait(10) == 0
    assert "verify: another run of verify holds the store: waiting for it" in told
    assert "to judge" not in told
    assert one.stored() == len(one.replies()) == ANSWERS
    assert one.outs() == two.outs()
