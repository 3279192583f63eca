"""A job that tries what no job may do: run once in every fork server before it gets anything untrusted."""

import contextlib
import json
import mmap
import os
import socket
from collections.abc import Callable
from pathlib import Path

from stages.shared.kernels.sandbox.limits import MEBIBYTE

_SETTING = "/proc/sys/kernel/core_pattern"
"""The program that the kernel starts, as root, when a process crashes."""


def warm() -> None:
    """Nothing to import."""


def probe(payload: bytes, send: Callable[[bytes], None]) -> None:
    """Send a frame for each property of the sandbox that does not hold.

    `payload` is a JSON object: `outside`, a folder beside the scratch folder that the caller can write to, and
    `memory_mb`, the limit of memory.
    """
    words = json.loads(payload)
    attempts: list[tuple[str, Callable[[], None]]] = [
        ("no network", lambda: socket.socket(socket.AF_INET).close()),
        ("no writes outside the scratch folder", lambda: _write(Path(words["outside"], "probe"))),
        ("no writes outside the scratch folder", lambda: os.close(os.open(_SETTING, os.O_WRONLY))),
        ("no reads of private files", lambda: Path(__file__).open("rb").close()),
        ("no other processes", _start_process),
        ("bounded memory", lambda: mmap.mmap(-1, 2 * words["memory_mb"] * MEBIBYTE).close()),
    ]
    broken = {}
    for named, attempt in attempts:
        with contextlib.suppress(OSError):
            attempt()
            broken[named] = True
    for named in broken:
        send(named.encode())
    _write(Path("probe"))


TASKS = {"probe": probe}


def _write(path: Path) -> None:
    path.write_bytes(b"")
    with contextlib.suppress(OSError):
        path.unlink()


def _start_process() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
