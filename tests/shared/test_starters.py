"""With real processes: who waits for whom, and who is gone."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from stages.shared.starters import are_there, starters
from tests.imports import ROOT

TELL = "from stages.shared.starters import starters; print(*(process.pid for process in starters()))"


def test_the_starter_is_the_parent() -> None:
    told = subprocess.run([sys.executable, "-c", TELL], cwd=ROOT, capture_output=True, text=True, check=True)

    assert told.stdout.split() == [str(psutil.Process().pid)]


def test_behind_the_shell_of_one_command_line_its_own_starter_waits_too() -> None:
    words = ["sh", "-c", '"$@"; true', "sh", sys.executable, "-c", TELL]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as shell:
        told = shell.communicate()[0]

    assert told.split() == [str(shell.pid), str(psutil.Process().pid)]


def test_a_shell_with_a_script_is_a_starter_like_any_other(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text('"$@"\ntrue\n')
    words = ["sh", str(script), sys.executable, "-c", TELL]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as shell:
        told = shell.communicate()[0]

    assert told.split() == [str(shell.pid)]


@pytest.mark.parametrize("reaped", [False, True])
def test_a_process_that_ended_is_gone_also_as_a_zombie(*, reaped: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        there = [psutil.Process(process.pid)]
        assert are_there([*starters(), *there])
        process.kill()
        if reaped:
            process.wait()
        else:
            while there[0].status() != psutil.STATUS_ZOMBIE:
                pass

        assert not are_there([*starters(), *there])
