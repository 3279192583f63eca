"""How a fork server and its jobs are confined, with whatever of three mechanisms the host has.

Namespaces give the files, the network and the other processes at once; Landlock gives the files without them; seccomp
closes what both leave open (sockets, processes, signals, limits) and the kernel's rarely used half.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from stages.shared.kernels.sandbox import landlock, limits, namespaces, seccomp
from stages.shared.kernels.sandbox.limits import Limits
from stages.shared.kernels.sandbox.system_calls import call

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522


@dataclass(frozen=True)
class Place:
    """The files that a fork server and its jobs have; absolute paths."""

    folder: Path
    """Its own."""
    readable: list[Path]
    devices: list[Path]

    @property
    def root(self) -> Path:
        """The folder on which a new root is mounted."""
        return self.folder / "root"

    @property
    def scratch(self) -> Path:
        """The only folder that a job can write to."""
        return self.folder / "scratch"


@dataclass(frozen=True)
class Mechanisms:
    """What confines the jobs of a fork server, and why the rest does not."""

    namespaces: bool
    landlock: int
    """The version, 0 for none."""
    seccomp: bool
    missing: dict[str, str] = field(default_factory=dict)
    """Mechanism: what the host answered."""

    @property
    def enough(self) -> bool:
        """Whether files, network and processes are all out of reach."""
        return self.seccomp and (self.namespaces or self.landlock > 0)


class _Head(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = (("sets", ctypes.c_uint32 * 6),)


def found(place: Place) -> Mechanisms:
    """Try each mechanism in a child, as it will be used. The caller has one thread."""
    if sys.platform != "linux":
        return Mechanisms(namespaces=False, landlock=0, seccomp=False, missing={"sandbox": "needs Linux"})
    missing = {
        "user namespaces": _refusal(lambda: _try_namespaces(place)),
        "Landlock": _refusal(lambda: _try_landlock(place)),
        "seccomp": _refusal(_try_seccomp),
    }
    return Mechanisms(
        namespaces=not missing["user namespaces"],
        landlock=0 if missing["Landlock"] else landlock.version(),
        seccomp=not missing["seccomp"],
        missing={name: reason for name, reason in missing.items() if reason},
    )


def close(place: Place) -> None:
    """Leave to this process, and to its children, only the files that untrusted code may see. It is in namespaces."""
    namespaces.close_root(place.root, place.readable, place.devices, place.scratch)


def confine(mechanisms: Mechanisms, place: Place, bounds: Limits, mapped: int, parent: int) -> None:
    """Confine this process, a child of the fork server `parent` with one thread, for good; it ends with its parent.

    `mapped` is the address space in bytes that it starts with.

    Raises:
        OSError: a mechanism that worked when it was tried.
    """
    limits.apply(bounds, mapped)
    if sys.platform != "linux":
        return
    _drop_privileges()
    call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it died before the kernel was told
    if mechanisms.landlock:
        landlock.restrict(mechanisms.landlock, place.readable, place.devices, place.scratch)
    if mechanisms.seccomp:
        seccomp.install(gpu=bounds.gpu)


def _drop_privileges() -> None:
    """Also root keeps no capability, and no later program or call can win one."""
    for capability in range(64):
        try:
            call("prctl", _PR_CAPBSET_DROP, capability, 0, 0, 0)
        except OSError:
            break  # the first number that this kernel does not know, or there is nothing to drop
    call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    call("capset", ctypes.byref(_Head(_CAPABILITY_VERSION_3, 0)), ctypes.byref(_Capabilities()))


def _try_namespaces(place: Place) -> None:
    namespaces.enter()
    os.close(namespaces.own_processes(place.root))
    close(place)
    namespaces.mount_memory(place.scratch, 1, 16)


def _try_landlock(place: Place) -> None:
    _drop_privileges()
    landlock.restrict(landlock.version(), [Path("/")], [], place.scratch)


def _try_seccomp() -> None:
    _drop_privileges()
    seccomp.install(gpu=False)


def _refusal(attempt: Callable[[], None]) -> str:
    """Why `attempt` fails in a child; empty when it does not."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            attempt()
        except OSError as error:
            os.write(writer, str(error.strerror).encode())
        else:
            os.write(writer, b"works")
        finally:
            os._exit(0)
    os.close(writer)
    answer = os.read(reader, 4096).decode()
    os.close(reader)
    os.waitpid(child, 0)
    return "" if answer == "works" else answer or "the attempt died"
