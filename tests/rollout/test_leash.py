import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.imports import ROOT

IMPATIENT = "from stages.rollout import leash; leash.GRACE_S = 0.3; leash.main()"
STUBBORN = (
    "import signal, subprocess, sys, time; from pathlib import Path\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "Path(sys.argv[1]).write_text(f'{child.pid}')\n"
    "time.sleep(600)"
)
"""A program that does not end when it is asked to, with a child."""


def start(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, *command], cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True
    )


def child_of(file: Path) -> psutil.Process:
    """The child, once the program has started it."""
    deadline = time.monotonic() + 20
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return psutil.Process(int(file.read_text()))


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(("command", "code"), [("exit 7", 7), ("kill -KILL $$", 128 + 9), ("exit 0", 0)])
def test_it_ends_as_the_command_does(command: str, code: int) -> None:
    assert start("sh", "-c", command).wait(20) == code


@pytest.mark.parametrize("how", ["close", "kill"])
def test_a_command_that_will_not_end_is_killed_with_its_children(tmp_path: Path, how: str) -> None:
    """When the other end of the pipe closes, and when the leash itself is told to end."""
    leash = start(sys.executable, "-c", STUBBORN, str(tmp_path / "child"))
    child = child_of(tmp_path / "child")
    command = child.parent()
    assert leash.stdin
    if how == "close":
        leash.stdin.close()
    else:
        leash.send_signal(signal.SIGTERM)
    leash.wait(20)

    assert command is not None
    assert has_ended(command)
    assert has_ended(child)


def test_a_second_signal_does_not_keep_it_from_killing(tmp_path: Path) -> None:
    leash = start(sys.executable, "-c", STUBBORN, str(tmp_path / "child"))
    child = child_of(tmp_path / "child")
    command = child.parent()
    while leash.poll() is None:
        leash.send_signal(signal.SIGTERM)
        time.sleep(0.02)

    assert command is not None
    assert has_ended(command)
    assert has_ended(child)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of the death of its parent")
def test_a_command_ends_with_a_leash_that_is_killed(tmp_path: Path) -> None:
    leash = start(sys.executable, "-c", STUBBORN, str(tmp_path / "child"))
    child = child_of(tmp_path / "child")
    command = child.parent()
    leash.kill()
    leash.wait()

    assert command is not None
    psutil.wait_procs([command], timeout=10)
    assert has_ended(command)
    child.kill()


def test_what_a_command_leaves_behind_is_ended(tmp_path: Path) -> None:
    leash = start("sh", "-c", f"sleep 600 & echo $! > {tmp_path / 'child'}; sleep 0.5; exit 3")
    child = child_of(tmp_path / "child")

    assert leash.wait(20) == 3
    assert has_ended(child)
