"""A host that lacks a mechanism of the sandbox: a seccomp filter under which Python starts, and all its children.

python restricted_host.py [--without NAME ...] -- COMMAND ...
"""

import ctypes
import errno
import os
import shlex
import struct
import sys
from pathlib import Path

from stages.shared.kernels.sandbox.system_calls import call, machine
from tests.imports import ROOT

# Number on x86-64 and on aarch64, the first argument that is refused (none: all are), the error.
REFUSALS: dict[str, tuple[tuple[int, int], int | None, int]] = {
    "namespaces": ((272, 97), None, errno.EPERM),
    "Landlock": ((444, 444), None, errno.ENOSYS),
    "seccomp": ((157, 167), 22, errno.EINVAL),
}
_LOAD, _EQUAL, _RETURN, _ALLOW, _ERROR = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def python_without(folder: Path, *names: str) -> str:
    """An executable that starts this Python on a host without these mechanisms."""
    file = folder / f"python-without-{'-'.join(names)}"
    words = [sys.executable, "-m", __name__, *(word for name in names for word in ("--without", name))]
    file.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.join(words)} -- "$@"\n')
    file.chmod(0o755)
    return str(file)


def _refuse(name: str) -> None:
    numbers, first, error = REFUSALS[name]
    refusal = (_RETURN, 0, 0, _ERROR | error)
    block = [refusal] if first is None else [(_LOAD, 0, 0, 16), (_EQUAL, 0, 1, first), refusal]
    program = [(_LOAD, 0, 0, 0), (_EQUAL, 0, len(block), numbers[machine()]), *block, (_RETURN, 0, 0, _ALLOW)]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    call("prctl", 22, 2, ctypes.byref(_Program(len(program), code)), 0, 0)


def main() -> None:
    split = sys.argv.index("--")
    call("prctl", 38, 1, 0, 0, 0)
    for name in sorted(word for word in sys.argv[1:split] if word != "--without"):
        _refuse(name)  # seccomp last in the alphabet: after it no filter can be added
    added = {"PYTHONPATH", "PWD", "OLDPWD", "_"}  # by the script and its shell
    clean = {name: value for name, value in os.environ.items() if name not in added}
    os.execve(sys.executable, [sys.executable, *sys.argv[split + 1 :]], clean)


if __name__ == "__main__":
    main()
