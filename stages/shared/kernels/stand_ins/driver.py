"""Triton's view of a GPU that is not there: an H100 on which nothing is launched."""

import types
from collections.abc import Callable, Mapping
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

    def get_empty_cache_for_benchmark(self) -> torch.Tensor:
        """A cache of which nothing is cleared."""
        return torch.empty(1)

    def clear_cache(self, _: torch.Tensor) -> None:
        """Nothing is timed."""

    @property
    def utils(self) -> Any:
        """What answers ask of the device before they choose a configuration."""
        return _Utilities()


class CompiledKernel:
    """What a launch, and `warmup`, return: an answer may ask what a kernel takes of a GPU, and launch it by this."""

    n_regs, n_spills, n_max_threads = 32, 0, 1024
    metadata = types.SimpleNamespace(shared=0, num_warps=4, num_stages=3, num_ctas=1)

    def __init__(self, kernel: Any, named: Mapping[str, Any]) -> None:
        """`named` is what it was launched with by name: its constants need not be given again."""
        self._kernel = kernel
        self._named = named

    def _init_handles(self) -> None:
        """Nothing is loaded."""

    def __getitem__(self, grid: Any) -> Callable[..., Any]:
        """As `kernel[grid]`."""

        def launch(*args: Any) -> Any:
            given = set(self._kernel.arg_names[: len(args)])
            rest = {name: value for name, value in self._named.items() if name not in given}
            return self._kernel.run(*args, grid=grid, warmup=False, **rest)

        return launch


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
