"""What one job may use."""

import math
import resource
from dataclasses import dataclass

MEBIBYTE = 1 << 20
THREADS = 64
SCRATCH_MB = 64
SCRATCH_FILES = 4096
_OPEN_FILES = 256


@dataclass(frozen=True)
class Limits:
    """The bounds of one job, besides THREADS, SCRATCH_MB and SCRATCH_FILES, which are the same for all."""

    cpu_s: float
    """Processor time of all its threads, rounded up to whole seconds."""
    wall_s: float
    """From the call of `run`, the start of the job's process included."""
    memory_mb: int
    """MiB beyond what the fork server has: of address space, or of resident memory with `gpu`."""
    output_mb: int
    """MiB of frames."""
    gpu: bool = False
    """The NVIDIA devices can be used. A CUDA context reserves terabytes, so the address space is not bounded."""


def apply(limits: Limits, mapped: int) -> None:
    """Bound this process for good; `mapped` is the address space in bytes that it starts with, 0 where nobody knows.

    Frames are bounded by their reader, threads and resident memory by the fork server, which looks now and then.
    """
    seconds = math.ceil(limits.cpu_s)
    bounds = {
        resource.RLIMIT_CPU: (seconds, seconds + 1),  # SIGXCPU, then SIGKILL
        resource.RLIMIT_FSIZE: _both(SCRATCH_MB * MEBIBYTE),
        resource.RLIMIT_NOFILE: _both(_OPEN_FILES),
        resource.RLIMIT_CORE: _both(1),  # 0 would still start the program that a core is piped to; core(5)
    }
    if mapped and not limits.gpu:
        bounds[resource.RLIMIT_AS] = _both(mapped + limits.memory_mb * MEBIBYTE)
    for which, (soft, hard) in bounds.items():
        _, most = resource.getrlimit(which)
        most = hard if most == resource.RLIM_INFINITY else min(hard, most)
        resource.setrlimit(which, (min(soft, most), most))


def _both(bound: int) -> tuple[int, int]:
    """As soft and as hard limit."""
    return bound, bound
