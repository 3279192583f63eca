"""Tasks that try to read, write and fill what lies outside of their scratch folder, or to leave something in it."""

import contextlib
import ctypes
import json
import mmap
import os
import shutil
import stat
import time
from functools import partial
from pathlib import Path

from tests.shared.kernels.sandbox.hostile_attempts import LIBC, Attempt, Send, checked, raw, report

MEGABYTE = bytes(1 << 20)


def read_secrets(payload: bytes, send: Send) -> None:
    """`payload` is a JSON list of files that the user can read."""
    attempts: dict[str, Attempt] = {}
    for path in map(Path, json.loads(payload)):
        link = Path(path.name)
        link.symlink_to(path)
        handle = ctypes.create_string_buffer(136)
        attempts |= {
            f"read {path}": path.read_bytes,
            f"read by a link {path}": link.read_bytes,
            f"read past the C library {path}": raw((257, 56), -100, bytes(path), os.O_RDONLY),
            f"read as {path} of the fork server": Path(f"/proc/{os.getppid()}/root{path}").read_bytes,
            f"openat2 {path}": raw((437, 437), -100, bytes(path), ctypes.create_string_buffer(24), 24),
            f"copy {path}": partial(shutil.copyfile, path, "copy"),
            f"hard link {path}": partial(os.link, path, "hard"),
            f"handle of {path}": checked("open_by_handle_at", -100, handle, os.O_RDONLY),
            f"list {path.parent}": partial(_names, path.parent),
            f"mount {path.parent}": checked("mount", bytes(path.parent), b".", None, 4096, None),
        }
    report(attempts, send)


def write_outside(payload: bytes, send: Send) -> None:
    """`payload` is a JSON list: a file that the user can write to, then folders."""
    precious, *folders = map(Path, json.loads(payload))
    link = Path("link")
    link.symlink_to(precious)
    times = ctypes.create_string_buffer(32)
    attempts: dict[str, Attempt] = {
        "overwrite": partial(precious.write_bytes, b"gone"),
        "overwrite by a link": partial(link.write_bytes, b"gone"),
        "append": partial(os.open, precious, os.O_WRONLY | os.O_APPEND),
        "truncate while reading": partial(os.open, precious, os.O_RDONLY | os.O_TRUNC),
        "truncate without access": partial(os.open, precious, os.O_ACCMODE | os.O_TRUNC),
        "truncate": partial(os.truncate, precious, 0),
        "delete": precious.unlink,
        "delete the folder": partial(shutil.rmtree, precious.parent),
        "rename": partial(precious.rename, precious.with_name("renamed")),
        "take": partial(precious.rename, "taken"),
        "replace": partial(Path("link").replace, precious),
        "chmod": partial(precious.chmod, 0),
        "chmod by a link": partial(link.chmod, 0),
        "chown": partial(os.chown, precious, 1, 1),
        "utime": partial(os.utime, precious, (0, 0)),
        "setxattr": checked("setxattr", bytes(precious), b"user.x", b"x", 1, 0),
        "utimensat": raw((280, 88), -100, bytes(precious), times, 0),
        "lock": lambda: os.lockf(os.open(precious, os.O_RDWR), os.F_LOCK, 0),
    }
    for folder in folders:
        attempts |= {
            f"file in {folder}": partial((folder / "new").write_bytes, b""),
            f"folder in {folder}": (folder / "new").mkdir,
            f"symlink in {folder}": partial(os.symlink, precious, folder / "new"),
            f"fifo in {folder}": partial(os.mkfifo, folder / "new"),
            f"unnamed file in {folder}": partial(os.open, folder, os.O_TMPFILE | os.O_RDWR),
        }
    report(attempts, send)


def change_settings(payload: bytes, send: Send) -> None:
    """Open what changes the kernel, or how it treats this process; nothing is written, should one of them open."""
    names = ("sys/kernel/core_pattern", "sys/vm/overcommit_memory", "sysrq-trigger", "self/oom_score_adj")
    report({name: partial(os.open, f"/proc/{name}", os.O_WRONLY) for name in names}, send)


def fill(payload: bytes, send: Send) -> None:
    """Files of 1 MiB until it fails, then how many there were."""
    files = 0
    try:
        while True:
            Path(str(files)).write_bytes(MEGABYTE)
            files += 1
    except OSError:
        send(str(files).encode())


def fill_unnamed(payload: bytes, send: Send) -> None:
    """The same with files that were deleted, or never had a name."""
    held, written = [], 0
    try:
        while True:
            Path("named").touch()
            held += [os.open("named", os.O_RDWR), os.open(".", os.O_TMPFILE | os.O_RDWR)]
            Path("named").unlink()
            for descriptor in held[-2:] * 2:
                written += os.write(descriptor, MEGABYTE)
    except OSError:
        send(str(written >> 20).encode())


def fill_mapped(payload: bytes, send: Send) -> None:
    """Files of 30 MB each that have no name and no descriptor, only a page that is mapped; five, then wait."""
    memory = LIBC.mmap
    memory.restype = ctypes.c_void_p
    for _ in range(5):
        file = os.open("file", os.O_CREAT | os.O_RDWR)
        for _ in range(30):
            os.write(file, MEGABYTE)
        memory(None, ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ, mmap.MAP_SHARED, file, ctypes.c_long(0))
        Path("file").unlink()
        os.close(file)
    send(str(os.statvfs(".").f_bfree).encode())
    time.sleep(2)


def reserve(payload: bytes, send: Send) -> None:
    """30 MB of the disk at once."""
    file = os.open("file", os.O_CREAT | os.O_RDWR)
    report({"fallocate": checked("fallocate", file, 0, ctypes.c_long(0), ctypes.c_long(30 << 20))}, send)


def fill_one(payload: bytes, send: Send) -> None:
    """One sparse file, larger than any disk, then mapped."""
    descriptor = os.open("large", os.O_CREAT | os.O_RDWR)
    os.ftruncate(descriptor, 1 << 40)
    mmap.mmap(descriptor, 1 << 40)


def fill_with_names(payload: bytes, send: Send) -> None:
    """Many empty files until it fails, then how many there were."""
    files = 0
    try:
        while files < 100_000:
            os.close(os.open(str(files), os.O_CREAT | os.O_WRONLY))
            files += 1
    except OSError:
        send(str(files).encode())


def booby_trap(payload: bytes, send: Send) -> None:
    """Leave what makes a careless removal fail, loop, or reach `payload`, a folder outside."""
    outside = payload.decode()
    for link, target in (("link", outside), ("loop", "loop"), ("up", "..")):
        Path(link).symlink_to(target)
    Path("new\nline \udcff").touch()
    Path("locked", "inner").mkdir(parents=True)
    Path("locked", "inner", "link").symlink_to(outside)
    Path("locked", "file").touch(0)
    Path("closed").mkdir(0)
    refused: dict[str, Attempt] = {
        "fifo": partial(os.mkfifo, "fifo"),
        "device": partial(os.mknod, "device", 0o20666, os.makedev(1, 1)),
        "socket": partial(os.mknod, "socket", 0o140666),
        "chmod": partial(os.chmod, "locked", 0),
        "set-user-ID": partial(os.chmod, "locked/file", 0o4777),
        "immutable": raw((16, 29), os.open("locked", os.O_RDONLY), 0x40086602, ctypes.create_string_buffer(8)),
    }
    report(refused, send)
    for _ in range(2000):
        Path("deep").mkdir()
        os.chdir("deep")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def leave_files_and_sleep(payload: bytes, send: Send) -> None:
    Path("folder").mkdir()
    Path("folder", "file").write_bytes(MEGABYTE)
    send(b"left")
    time.sleep(60)


def open_descriptors(payload: bytes, send: Send) -> None:
    """What each open descriptor is: the number of a device, or `socket`."""
    for descriptor in range(1 << 10):
        with contextlib.suppress(OSError):
            kind = os.fstat(descriptor)
            device = f"{os.major(kind.st_rdev)}:{os.minor(kind.st_rdev)}"
            send(f"{descriptor} {'socket' if stat.S_ISSOCK(kind.st_mode) else device}".encode())


def use_scratch(payload: bytes, send: Send) -> None:
    """What honest code does there, from a folder that is empty at first."""
    before = _names(Path())
    Path("folder").mkdir()
    Path("folder", "file").write_text("text")
    Path("folder", "file").replace("moved")
    send(json.dumps([before, Path.cwd() == Path.home(), Path("moved").read_text(), _names(Path())]).encode())
