"""Run a command for as long as somebody holds the other end of standard input: `python leash.py COMMAND...`.

A stage that is killed cannot stop its server, and a server that nobody asks keeps its GPUs. So this process starts it:
when the pipe closes, for whatever reason, the command and everything in its process group is ended. Where the leash
itself is killed, Linux kills the command, and the stage what the command started.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

GRACE_S = 20.0
"""Seconds between asking a command to end and killing it."""
_LOOK_EVERY_S = 0.2
_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1


def end(command: subprocess.Popen[bytes]) -> None:
    """End the command and what it started, politely at first; a signal in the meantime changes nothing."""
    _ignore_signals()
    with suppress(ProcessLookupError):
        os.killpg(command.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            command.wait(GRACE_S)
        os.killpg(command.pid, signal.SIGKILL)
    command.wait()


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _leave(*_: object) -> None:
    """Once: a second signal would keep `main` from ending the command."""
    _ignore_signals()
    sys.exit(1)


def main() -> None:
    """Exit as the command does."""
    for number in _SIGNALS:
        signal.signal(number, _leave)
    command = subprocess.Popen(  # noqa: S603
        sys.argv[1:],
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509  # this process has one thread
    )
    try:
        while command.poll() is None and not select.select([sys.stdin], [], [], _LOOK_EVERY_S)[0]:
            pass
    finally:
        end(command)
    sys.exit(command.returncode if command.returncode >= 0 else 128 - command.returncode)


def _die_with(parent: int) -> Callable[[], None] | None:
    """What a child does before it becomes the command, so that it is killed when `parent` ends; None but on Linux."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before that
            os._exit(1)

    return prepare


if __name__ == "__main__":
    main()
