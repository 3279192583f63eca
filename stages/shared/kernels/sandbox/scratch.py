"""The only folder that a job can write to: empty when it starts, gone when it ends."""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.shared.kernels.sandbox import namespaces
from stages.shared.kernels.sandbox.limits import MEBIBYTE, SCRATCH_FILES, SCRATCH_MB


@contextmanager
def fresh(folder: Path, *, mount: bool) -> Iterator[None]:
    """Make `folder` empty for a job: a mounted one bounds itself, another is to be watched with `overfull`."""
    if mount:
        namespaces.mount_memory(folder, SCRATCH_MB, SCRATCH_FILES)
        try:
            yield
        finally:
            namespaces.unmount(folder)
    else:
        try:
            yield
        finally:
            empty(folder)


def empty(folder: Path) -> None:
    """Remove all that lies in `folder`, however deep, whatever its modes; nothing else writes there any more.

    A folder in a folder moves up before its parent goes, so that neither a path nor a stack grows with the depth.
    """
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while entries := list(os.scandir(top)):
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.name, 0o700, dir_fd=top)
                    _lift(entry.name, top)
                    os.rmdir(entry.name, dir_fd=top)
                else:
                    os.unlink(entry.name, dir_fd=top)
    finally:
        os.close(top)


def overfull(folder: Path, job: str, processes: int, *, mapped: bool) -> bool:
    """Whether the job has more than SCRATCH_MB or SCRATCH_FILES there, deleted files that it has open included.

    `job` is its folder in /proc, relative to the descriptor `processes`. The files may change while this looks; what
    cannot be looked at (a path that grew too long, a folder without permissions) counts as too much. With `mapped` a
    deleted file that is open no more, but held by a mapping, does as well: nobody can tell its size. To look for one
    takes a millisecond.
    """
    left, files = SCRATCH_MB * MEBIBYTE, 0
    folders = [os.fspath(folder)]
    while folders:
        try:
            for entry in list(os.scandir(folders.pop())):
                files += 1
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                with contextlib.suppress(FileNotFoundError):
                    left -= 512 * entry.stat(follow_symlinks=False).st_blocks
        except FileNotFoundError:
            continue  # removed meanwhile
        except OSError:
            return True
        if left < 0 or files > SCRATCH_FILES:
            return True
    unnamed = _deleted(job, processes)
    return left < sum(unnamed.values()) or (mapped and not _mapped(folder, job, processes) <= unnamed.keys())


def _deleted(job: str, processes: int) -> dict[int, int]:
    """Bytes of open regular files that have no name, by inode."""
    sizes = {}
    try:
        listed = os.open(f"{job}/fd", os.O_RDONLY | os.O_DIRECTORY, dir_fd=processes)
    except OSError:
        return {}  # the job has ended
    try:
        for entry in list(os.scandir(listed)):
            try:
                opened = os.stat(entry.name, dir_fd=listed)
            except OSError:
                continue  # closed meanwhile
            if stat.S_ISREG(opened.st_mode) and opened.st_nlink == 0:
                sizes[opened.st_ino] = 512 * opened.st_blocks
    finally:
        os.close(listed)
    return sizes


def _mapped(folder: Path, job: str, processes: int) -> set[int]:
    """Inodes of the files in `folder` that have no name and are mapped; the format: proc_pid_maps(5)."""
    try:
        opened = os.open(f"{job}/maps", os.O_RDONLY, dir_fd=processes)
        with os.fdopen(opened, encoding="utf-8", errors="replace") as maps:
            lines = [line.split(maxsplit=5) for line in maps if line.endswith(" (deleted)\n")]
    except OSError:
        return set()  # the job has ended
    real = os.path.realpath(folder)
    return {int(inode) for *_, inode, path in lines if path.startswith(f"{real}/")}


def _lift(name: str, top: int) -> None:
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    try:
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.name, 0o700, dir_fd=folder)  # to move a folder is to write its ".."
            os.rename(entry.name, secrets.token_hex(8), src_dir_fd=folder, dst_dir_fd=top)
    finally:
        os.close(folder)
