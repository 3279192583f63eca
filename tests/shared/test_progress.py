"""On a real terminal, and in a log, where the clock is set by the test."""

import logging
import os
import subprocess
import sys
import termios
import time

import pytest

from stages.shared.progress import Progress
from tests.imports import ROOT

log = logging.getLogger("test_progress")
BAR = (
    "import logging\n"
    "from stages.shared.progress import Progress\n"
    "progress = Progress(logging.getLogger(), 8, 'answer')\n"
    "progress.tell(2, '2 ok')\n"
    "progress.close()\n"
)


def test_a_log_gets_a_line_every_ten_seconds(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress = Progress(log, 600, "answer")
    with caplog.at_level(logging.INFO):
        for second in range(26):
            now = 100.0 + second
            progress.tell(max(0, second - 10) * 15, f"{second} asked" if second > 12 else "")
    progress.close()

    assert caplog.messages == ["0 of 600, 0.0/s, ETA unknown", "150 of 600, 7.5/s, ETA 60 s, 20 asked"]


def test_a_terminal_shows_a_bar() -> None:
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    subprocess.run([sys.executable, "-c", BAR], stderr=theirs, cwd=ROOT, check=True, timeout=60)
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)

    assert " 25%|" in shown
    assert "2/8" in shown
    assert "2 ok" in shown
    assert shown.endswith("\n")
