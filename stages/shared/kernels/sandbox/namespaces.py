"""A user namespace of the fork server's own: no network, no other processes, and a root with little in it.

See user_namespaces(7), pid_namespaces(7), pivot_root(2), mount_setattr(2). Needs Linux 5.12 and no privileges.
"""

import ctypes
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from stages.shared.kernels.sandbox.system_calls import call

_CLONE_NEWNS, _CLONE_NEWCGROUP, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_ALL = _CLONE_NEWNS | _CLONE_NEWCGROUP | _CLONE_NEWUTS | _CLONE_NEWIPC | _CLONE_NEWUSER | _CLONE_NEWPID | _CLONE_NEWNET
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_PR_SET_PDEATHSIG = 1


class _MountAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user_namespace"))


def enter() -> None:
    """Go on in a child that is the first process of new namespaces, where it may mount and loses nothing else.

    The calling process waits for that child and exits as it did. When it dies, the child dies, and with the first
    process of its namespace every other in it. The caller has one thread and no buffered output.

    Raises:
        OSError: the host does not allow it.
    """
    user, group = os.getuid(), os.getgid()
    call("unshare", _ALL)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")
    child = os.fork()
    if child:
        os.closerange(0, 1 << 16)
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _mount("none", Path("/"), "", _MS_REC | _MS_PRIVATE)


def own_processes(folder: Path) -> int:
    """A descriptor of the folder /proc of the own namespace, which is mounted nowhere."""
    _mount("proc", folder, "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    unmount(folder)
    return descriptor


def close_root(folder: Path, readable: Iterable[Path], devices: Iterable[Path], scratch: Path) -> None:
    """Make a read-only root that has `readable`, `devices` and a place for `scratch`, on top of `folder`.

    What is to be read in /proc is in the one of the own namespace, with the rest of it.

    Raises:
        OSError: the host does not allow it.
    """
    _mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=0755")
    for path in readable:
        if path.is_relative_to("/proc"):
            (folder / "proc").mkdir(exist_ok=True)
        else:
            _set_attributes(_bind(path, folder), _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV, _AT_RECURSIVE)
    if (folder / "proc").exists():
        # Read-only: the kernel lets root change its settings there, whatever capabilities it lacks.
        _mount("proc", folder / "proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
        _set_attributes(folder / "proc", _ATTR_RDONLY, 0)
    for path in devices:
        _bind(path, folder)
    _inside(scratch, folder).mkdir(parents=True)
    os.chdir(folder)
    call("pivot_root", b".", b".")
    call("umount2", b".", _MNT_DETACH)
    os.chdir(scratch)
    _set_attributes(Path("/"), _ATTR_RDONLY, 0)


def mount_memory(folder: Path, megabytes: int, files: int) -> None:
    """Mount an empty file system in memory, with room for so many MiB and so many files."""
    _mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, f"size={megabytes}m,nr_inodes={files},mode=0700")


def unmount(folder: Path) -> None:
    """Unmount what is mounted there, also when it is in use."""
    call("umount2", os.fsencode(folder), _MNT_DETACH)


def _inside(path: Path, root: Path) -> Path:
    return root / path.relative_to("/")


def _bind(source: Path, root: Path) -> Path:
    """Show `source` at its own path inside `root`."""
    target = _inside(source, root)
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(source, target, "", _MS_BIND | _MS_REC)
    return target


def _mount(source: str | Path, target: Path, kind: str, flags: int, options: str = "") -> None:
    call("mount", os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode())


def _set_attributes(path: Path, attributes: int, flags: int) -> None:
    wanted = _MountAttributes(attributes, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    call("mount_setattr", _AT_FDCWD, os.fsencode(path), ctypes.c_uint(flags), ctypes.byref(wanted), size)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
