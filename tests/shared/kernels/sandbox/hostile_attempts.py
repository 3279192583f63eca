"""How a hostile task tells what became of what it tried."""

import ctypes
import errno
import json
import platform
from collections.abc import Callable, Mapping
from typing import Any

Attempt = Callable[[], object]
Send = Callable[[bytes], None]

LIBC = ctypes.CDLL(None, use_errno=True)
_COLUMN = ("x86_64", "aarch64").index(platform.machine())


def report(attempts: Mapping[str, Attempt], send: Send) -> None:
    """Send one JSON object: attempt to the name of its error, or to what it gave."""
    outcome: dict[str, Any] = {}
    for name, attempt in attempts.items():
        try:
            outcome[name] = repr(attempt())
        except OSError as error:
            outcome[name] = errno.errorcode.get(error.errno or 0, str(error))
    send(json.dumps(outcome).encode())


def raw(numbers: tuple[int, int], *arguments: object) -> Callable[[], int]:
    """A system call past the C library: number on x86-64 and on aarch64."""
    return checked("syscall", ctypes.c_long(numbers[_COLUMN]), *arguments)


def checked(name: str, *arguments: object) -> Callable[[], int]:
    """A call of the C library that raises OSError when it gives -1."""

    def attempt() -> int:
        result: int = getattr(LIBC, name)(*arguments)
        if result == -1:
            raise OSError(ctypes.get_errno(), name)
        return result

    return attempt
