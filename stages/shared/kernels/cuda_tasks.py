"""What runs in children on a GPU: a module, answers to it, and the clock. They tell, and decide nothing.

The process that forks them must not start CUDA: a context does not survive a fork.
"""

import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import msgspec
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from triton.backends.nvidia.compiler import CUDABackend, get_ptxas, get_ptxas_version, sm_arch_from_capability
from triton.backends.nvidia.driver import CudaDriver
from triton.runtime.autotuner import Autotuner
from triton.runtime.driver import driver
from triton.runtime.errors import PTXASError
from triton.runtime.jit import JITFunction

from stages.shared.kernels import loading, observation
from stages.shared.kernels.assembler import assemble
from stages.shared.kernels.interpret_tasks import Send, run_answer, run_reference
from stages.shared.kernels.reference import Place
from stages.shared.kernels.stand_ins import device_remap
from stages.shared.kernels.stand_ins.driver import time_once
from stages.shared.kernels.timed_calls import time_calls
from stages.shared.kernels.timing import Cuda
from stages.shared.kernels.timing_reports import TimingTask

_ARCHITECTURES = (80, 90, 100)
"""One of each kind that Triton has an assembler for, whose version is asked for while processes can be started."""
_launch = JITFunction.run
_bench = Autotuner._bench  # noqa: SLF001 - there is no public place to choose a configuration


class FilledMemory(TorchFunctionMode):
    """Gives uninitialised memory the content that it has in this call. Whether a kernel reads it, nobody sees."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of `func`."""
        result = func(*args, **(kwargs or {}))
        is_empty = getattr(func, "__name__", "") in device_remap.EMPTY and isinstance(result, torch.Tensor)
        if is_empty and result.dtype != torch.bool:
            result.fill_(device_remap.content(result.dtype))
            observation.current.garbage_reads += 1
        return result


@contextmanager
def checked() -> Iterator[None]:
    """Where results are compared: float32 is float32, also in convolutions, which PyTorch rounds to TF32 by default."""
    torch.backends.cudnn.allow_tf32 = False
    with FilledMemory():
        yield


def moved(value: Any, device: str = "cuda") -> Any:
    """The value with all its tensors on the device."""
    if isinstance(value, torch.Tensor | nn.Module):
        return value.to(device)
    if type(value) in {list, tuple}:
        return type(value)(moved(item, device) for item in value)
    if type(value) is dict:
        return {key: moved(item, device) for key, item in value.items()}
    return value


GPU = Place(checked, moved, lambda _: torch.cuda.synchronize())
TIMED = Place(nullcontext, moved, lambda _: torch.cuda.synchronize())


def warm() -> None:
    """Prepare Triton for children that can start no process: neither a C compiler nor an assembler.

    Raises:
        ValueError: Triton cannot work with the driver of this machine's GPU.
    """
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for architecture in _ARCHITECTURES:
        get_ptxas_version(architecture)
        assert get_ptxas(architecture).version
    CUDABackend.make_cubin = cubin
    JITFunction.run = launch
    try:
        driver.set_active(CudaDriver())
    except (AssertionError, RuntimeError, ImportError, OSError, subprocess.CalledProcessError) as error:
        why = " ".join(str(error).split())
        raise ValueError(f"mode cuda: triton cannot use the GPU of this machine: {why}") from None


def cubin(_: CUDABackend, ptx: str, __: Any, options: Any, capability: int) -> bytes:
    """In place of Triton's call of its assembler."""
    try:
        return assemble(ptx.encode(), sm_arch_from_capability(capability), fuse=options.enable_fp_fusion)
    except ValueError as error:
        raise PTXASError(str(error)) from None


def launch(self: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
    """A launch that is counted, and that does nothing in a ghost."""
    if warmup or not observation.current.calling:
        return _launch(self, *args, grid=grid, warmup=warmup, **kwargs)
    with observation.launching(self.__name__):
        return None if observation.current.ghost else _launch(self, *args, grid=grid, warmup=warmup, **kwargs)


def first_that_fits(self: Autotuner, *args: Any, config: Any, **meta: Any) -> list[float]:
    """In place of a benchmark: the first configuration that runs is chosen, so that every run chooses the same."""
    if vars(self).get("_fits") is self.nargs:
        return [2.0] * 3
    found = _bench(self, *args, config=config, **meta)
    if found[0] != float("inf"):
        self._fits = self.nargs
    return list(found)


def run_answer_on_gpu(payload: bytes, send: Send) -> None:
    """Tell what the answer does in every case."""
    Autotuner._bench = first_that_fits  # noqa: SLF001 - see above
    Autotuner.do_bench = property(lambda _: time_once)
    run_answer(payload, send, GPU)


def time_on_gpu(payload: bytes, send: Send) -> None:
    """Tell how long the module and the answer take; a kernel that tunes itself gets what it finds best."""
    JITFunction.run = _launch  # nothing is counted, which would take time
    device = Cuda()
    with loading.helpers():
        time_calls(msgspec.msgpack.decode(payload, type=TimingTask), TIMED, device, send)


TASKS = {"reference": partial(run_reference, place=GPU), "answer": run_answer_on_gpu, "time": time_on_gpu}
