"""Run a command for as long as somebody holds the other end of standard input: `python leash.py COMMAND...`.

A stage that is killed cannot stop its server, and a server that nobody asks keeps its GPUs. So this process starts it:
when the pipe closes, for whatever reason, the command and everything in its process group is ended.
"""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

GRACE_S = 20.0
"""Seconds between asking a command to end and killing it."""
_LOOK_EVERY_S = 0.2


def end(command: subprocess.Popen[bytes]) -> None:
    """End the command and what it started, politely at first."""
    with suppress(ProcessLookupError):
        os.killpg(command.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            command.wait(GRACE_S)
        os.killpg(command.pid, signal.SIGKILL)
    command.wait()


def main() -> None:
    """Exit as the command does."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(1))
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, process_group=0)  # noqa: S603
    try:
        while command.poll() is None and not select.select([sys.stdin], [], [], _LOOK_EVERY_S)[0]:
            pass
    finally:
        end(command)
    sys.exit(command.returncode if command.returncode >= 0 else 128 - command.returncode)


if __name__ == "__main__":
    main()
