"""Calls that Python has no function for."""

import ctypes
import os
import platform

_LIBC = ctypes.CDLL(None, use_errno=True)

# Numbers on x86-64 and on aarch64 of what the C library wraps nowhere; asm/unistd_64.h, asm-generic/unistd.h.
_NUMBERS = {
    "capset": (126, 91),
    "pivot_root": (155, 41),
    "mount_setattr": (442, 442),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
}
_MACHINES = ("x86_64", "aarch64")


def machine() -> int:
    """The column of this machine in a table of numbers: 0 for x86-64, 1 for aarch64.

    Raises:
        OSError: another machine, whose numbers nobody looked up.
    """
    if platform.machine() not in _MACHINES:
        raise OSError(0, f"expected one of {', '.join(_MACHINES)}, got {platform.machine()}")
    return _MACHINES.index(platform.machine())


def call(name: str, *arguments: object) -> int:
    """Call a function of the C library, or a system call that it has no function for.

    Integers are passed as C `int`; everything else as the ctypes value that is given.

    Raises:
        OSError: it returned -1; `strerror` starts with `name`.
    """
    result: int
    if name in _NUMBERS:
        result = _LIBC.syscall(ctypes.c_long(_NUMBERS[name][machine()]), *arguments)
    else:
        result = getattr(_LIBC, name)(*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
