"""Landlock: which files a process may open for what, for good and without privileges. See landlock(7).

Three system calls, made directly: the packages that wrap them (py-landlock 0.1, landlock 1.0.0.dev5) are alphas.
"""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from stages.shared.kernels.sandbox.system_calls import call

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 10, 1 << 11
_EXECUTE, _IOCTL_DEV = 1 << 0, 1 << 15

# How many rights each version knows, from version 1: 2 adds REFER, 3 TRUNCATE, 5 IOCTL_DEV.
_RIGHTS = (13, 14, 15, 15, 16)
_TCP = 0b11  # from version 4: to bind and to connect
_SCOPES = 0b11  # from version 6: abstract Unix sockets and signals of processes outside
_QUIET = 1 << 0  # from version 7: what is denied floods no audit log
_VERSION = 1 << 0
_PATH_BENEATH = 1


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Rule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """The version of the kernel's Landlock.

    Raises:
        OSError: the kernel has none (ENOSYS), or it is switched off (EOPNOTSUPP).
    """
    return call("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))


def restrict(known: int, readable: Iterable[Path], devices: Iterable[Path], scratch: Path) -> None:
    """Let this process read what is beneath `readable`, use `devices` and do in `scratch` as it likes, nothing else.

    `known` is the version, which says what can be restricted: before 3 `truncate`, and before 6 signals, are left to
    seccomp. The caller has set `no_new_privs`.

    Raises:
        OSError: the kernel refuses.
    """
    files = (1 << _RIGHTS[min(known, len(_RIGHTS)) - 1]) - 1
    ruleset = _Ruleset(files, _TCP if known >= 4 else 0, _SCOPES if known >= 6 else 0)
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    rules = call("landlock_create_ruleset", ctypes.byref(ruleset), ctypes.c_size_t(size), ctypes.c_uint32(0))
    own = files & ~(_EXECUTE | _MAKE_CHAR | _MAKE_BLOCK | _MAKE_SOCK | _MAKE_FIFO | _IOCTL_DEV)
    for path in readable:
        _allow(rules, path, _READ_FILE | (_READ_DIR if path.is_dir() else 0))
    for path in devices:
        _allow(rules, path, (_READ_FILE | _WRITE_FILE | _IOCTL_DEV) & files)
    _allow(rules, scratch, own)
    call("landlock_restrict_self", rules, ctypes.c_uint32(_QUIET if known >= 7 else 0))
    os.close(rules)


def _allow(rules: int, path: Path, rights: int) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _Rule(rights, folder)
        call("landlock_add_rule", rules, _PATH_BENEATH, ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(folder)
