"""Stages that ask a model, as processes that are stopped: no reply is lost, none is paid for twice."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chat_server import Action, ChatServer, Received, chat, error
from tests.model_stage import ModelStage

WINDOW = 4
NARROW = {"LLM_CONCURRENCY": str(WINDOW)}


def wait_for(what: Callable[[], bool]) -> None:
    """Poll until it holds."""
    for _ in range(2000):
        if what():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


def test_an_unfinished_run_is_paid_for_once(tmp_path: Path) -> None:
    """Killed at half, then run again; then nothing is owed. What is under way is sent and not yet on disk."""
    stage = ModelStage(tmp_path, modules=60)
    with ChatServer(latency_s=0.03) as server:
        killed = stage.start(server.url, **NARROW)
        wait_for(lambda: len(server.answered) >= 30)
        killed.kill()
        killed.communicate()
        kept, sent = stage.stored(), len(server.received)

        stage.succeed(server.url, **NARROW)

        assert 30 - 2 * WINDOW <= kept < 60
        assert server.distinct == len(server.answered) == 60
        assert len(server.received) - sent == 60 - kept
        assert len(server.received) <= 60 + WINDOW
        before = len(server.received)
        stage.succeed(server.url, **NARROW)
        assert len(server.received) == before
    assert set(stage.levels().values()) == {"low"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_within_two_seconds_and_keeps_every_reply(tmp_path: Path, number: signal.Signals) -> None:
    """One request hangs for ever; it must not hold up the end."""
    stage = ModelStage(tmp_path, modules=200)

    def script(received: Received) -> Action:
        return chat("<difficulty>low</difficulty>") if received.number else Action(b"", delay_s=1000)

    with ChatServer(script, latency_s=0.02) as server:
        running = stage.start(server.url, **NARROW)
        wait_for(lambda: len(server.answered) >= 20)
        began = time.monotonic()
        running.send_signal(number)
        told = running.communicate(timeout=10)[1]
        took = time.monotonic() - began

        assert running.returncode == 1
        assert told.splitlines()[-1] == f"rate_difficulty: stopped by {number.name}; run again to go on"
        assert took < 2.0
        assert stage.stored() == sum(server.answered.values()) < 200


def test_an_impatient_signal_adds_no_traceback(tmp_path: Path) -> None:
    stage = ModelStage(tmp_path, modules=20)
    with ChatServer(lambda _: Action(b"", delay_s=1000)) as server:
        running = stage.start(server.url, **NARROW)
        wait_for(lambda: len(server.received) >= WINDOW)
        while running.poll() is None:
            running.send_signal(signal.SIGINT)
            time.sleep(0.01)
        told = running.communicate()[1]

    assert running.returncode in {1, 130}
    assert "Traceback" not in told


def test_a_signal_does_not_wait_for_a_server_that_asks_for_patience(tmp_path: Path) -> None:
    stage = ModelStage(tmp_path)
    with ChatServer(lambda _: error(429, retry_after="500")) as server:
        running = stage.start(server.url, **NARROW)
        wait_for(lambda: len(server.received) >= WINDOW)
        time.sleep(0.1)
        began = time.monotonic()
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=10)

    assert running.returncode == 1
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("prefix", [[], ["sh", "-c", '"$@"; true', "sh"]])
def test_a_run_ends_when_its_parent_is_killed(tmp_path: Path, prefix: list[str]) -> None:
    """A parent like DVC, which starts the stage by itself or through a shell."""
    stage = ModelStage(tmp_path, modules=2000)
    script = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    stage.write_params()
    with ChatServer(latency_s=0.02) as server:
        parent = subprocess.Popen(
            [sys.executable, "-c", script, *prefix, *stage.words("rate_difficulty")],
            cwd=tmp_path,
            env=stage.environment(server.url, **NARROW),
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: len(server.answered) >= 5)
        parent.kill()
        parent.wait()
        time.sleep(1.0)
        sent = len(server.received)
        time.sleep(0.3)

        assert len(server.received) == sent < 2000
        assert stage.stored() == sum(server.answered.values())
