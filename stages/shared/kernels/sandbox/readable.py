"""What untrusted code may read: the interpreter, its packages and the system's libraries; nothing of the user's."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

_LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/nix/store")
_SYSTEM = (
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/sys/devices/system/cpu",  # how many processors there are
    "/usr/share/zoneinfo",
)
_GPU = (
    "/proc/cpuinfo",
    "/proc/devices",
    "/proc/driver/nvidia",
    "/proc/meminfo",
    "/proc/modules",
    "/proc/self",
    "/run/opengl-driver",
    "/sys/bus/pci",
    "/sys/class",
    "/sys/devices",
    "/usr/local/cuda",
    "/usr/local/nvidia",
)
_PACKAGES = ("site-packages", "dist-packages")
_DEVICES = ("/dev/null", "/dev/random", "/dev/urandom", "/dev/zero")


def files(private: Iterable[Path], *, gpu: bool) -> list[Path]:
    """Folders and files that exist, none of them beneath another; with `gpu` what a CUDA context reads as well.

    Of a prefix only `lib` and `lib64`, because a prefix may be a home. Of the module search path no folder that is, or
    holds, one of `private`, and of those beneath one only where packages are installed.
    """
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    wanted = {Path(prefix, library) for prefix in prefixes for library in ("lib", "lib64")}
    wanted.update(map(Path, (*_LIBRARIES, *_SYSTEM, *(_GPU if gpu else ()))))
    hidden = list(private)
    searched = map(Path, filter(os.path.isabs, sys.path))
    wanted.update(entry for entry in searched if not any(_belongs_to(folder, entry) for folder in hidden))
    kept: list[Path] = []
    for path in sorted(path for path in wanted if path.exists()):
        if not (kept and path.is_relative_to(kept[-1])):
            kept.append(path)
    return kept


def _belongs_to(folder: Path, entry: Path) -> bool:
    """Whether an entry of the search path is, holds or is a part of a private folder, and no folder of packages."""
    return folder.is_relative_to(entry) or (entry.is_relative_to(folder) and entry.name not in _PACKAGES)


def devices(*, gpu: bool) -> list[Path]:
    """Device files, which may be written to as well; with `gpu` those of NVIDIA's driver."""
    named = sorted(Path("/dev").glob("nvidia*")) if gpu else []
    return [path for path in (*map(Path, _DEVICES), *named) if path.exists()]
