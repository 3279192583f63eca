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


def overfull(folder: Path, descriptors: str, processes: int) -> bool:
    """Whether the job has more than SCRATCH_MB or SCRATCH_FILES there, deleted files that it has open included.

    `descriptors` is the job's folder `fd` in /proc, relative to the descriptor `processes`. It may change while this
    looks; what cannot be looked at (a path that grew too long, a folder without permissions) counts as too much.
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
    return left < _deleted(descriptors, processes)


def _deleted(descriptors: str, processes: int) -> int:
    """Bytes of open regular files that have no name."""
    size = 0
    try:
        listed = os.open(descriptors, os.O_RDONLY | os.O_DIRECTORY, dir_fd=processes)
    except OSError:
        return 0  # the job has ended
    try:
        for entry in list(os.scandir(listed)):
            try:
                opened = os.stat(entry.name, dir_fd=listed)
            except OSError:
                continue  # closed meanwhile
            if stat.S_ISREG(opened.st_mode) and opened.st_nlink == 0:
                size += 512 * opened.st_blocks
    finally:
        os.close(listed)
    return size


def _lift(name: str, top: int) -> None:
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    try:
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.name, 0o700, dir_fd=folder)  # to move a folder is to write its ".."
            os.rename(entry.name, secrets.token_hex(8), src_dir_fd=folder, dst_dir_fd=top)
    finally:
        os.close(folder)
