"""Triton's view of a GPU that is not there: an H100 on which nothing is launched."""

from collections.abc import Callable
from typing import Any

import torch
from triton.backends.compiler import GPUTarget

from stages.shared.kernels.stand_ins import device_remap


def time_once(call: Callable[[], Any], **_: Any) -> list[float]:
    """In place of a benchmark: run it once, so that what a kernel changes is changed as often as at least on a GPU."""
    call()
    return [1.0, 1.0, 1.0]


class Driver:
    """In place of CUDA's: says that there is an H100, and times nothing."""

    def get_current_device(self) -> int:
        """The only one."""
        return 0

    def set_current_device(self, _: int) -> None:
        """The only one."""

    def get_current_stream(self, _: int | None = None) -> int:
        """The default stream."""
        return 0

    def get_current_target(self) -> GPUTarget:
        """An H100."""
        return GPUTarget("cuda", 90, 32)

    def get_active_torch_device(self) -> torch.device:
        """As torch says."""
        return device_remap.CUDA

    def get_device_interface(self) -> Any:
        """As torch says."""
        return torch.cuda

    def get_benchmarker(self) -> Callable[..., list[float]]:
        """One that calls a kernel once, so that what it changes is changed as often as the first time on a GPU."""
        return time_once

    @property
    def utils(self) -> Any:
        """What answers ask of the device before they choose a configuration."""
        return _Utilities()


class _Utilities:
    def get_device_properties(self, _: int) -> dict[str, int]:
        """Of an H100."""
        return {
            "max_shared_mem": 232448,
            "max_num_regs": 65536,
            "multiprocessor_count": 132,
            "warpSize": 32,
            "sm_clock_rate": 1980000,
            "mem_clock_rate": 2619000,
            "mem_bus_width": 5120,
        }
