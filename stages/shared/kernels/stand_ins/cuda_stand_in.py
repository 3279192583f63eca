"""What of torch asks for a GPU without going through a function that can be remapped, answered as by an H100."""

import types
from typing import Any, Self

import torch
import torch._C._dynamo.guards as _guards
from torch.utils._device import DeviceContext

from stages.shared.kernels.stand_ins.device_remap import CUDA, default_is_gpu

_PROPERTIES = types.SimpleNamespace(
    name="NVIDIA H100 80GB HBM3",
    major=9,
    minor=0,
    total_memory=80 << 30,
    multi_processor_count=132,
    warp_size=32,
    max_threads_per_multi_processor=2048,
    max_threads_per_block=1024,
    regs_per_multiprocessor=65536,
    shared_memory_per_block=49152,
    shared_memory_per_block_optin=232448,
    shared_memory_per_multiprocessor=233472,
    L2_cache_size=50 << 20,
    gcnArchName="",
    is_integrated=0,
)


def install() -> None:
    """Replace what asks for a GPU without going through a function of torch. Once for a process."""
    nothing = {
        "synchronize": None, "current_device": 0, "set_device": None, "empty_cache": None, "init": None,
        "manual_seed": None, "manual_seed_all": None, "is_available": True, "is_initialized": True, "device_count": 1,
        "get_device_capability": (9, 0), "get_device_name": _PROPERTIES.name, "get_device_properties": _PROPERTIES,
        "is_bf16_supported": True, "memory_allocated": 0, "max_memory_allocated": 0, "memory_reserved": 0,
        "max_memory_reserved": 0, "reset_peak_memory_stats": None, "ipc_collect": None,
        "mem_get_info": (80 << 30, 80 << 30), "is_current_stream_capturing": False,
    }  # fmt: skip
    for name, answer in nothing.items():
        setattr(torch.cuda, name, _constant(answer))
    for name in ("Stream", "Event", "device", "stream", "device_of", "_DeviceGuard"):
        setattr(torch.cuda, name, _Idle)
    for name in ("current_stream", "default_stream"):
        setattr(torch.cuda, name, _Idle)
    for name in ("get_rng_state", "set_rng_state"):
        setattr(torch.cuda, name, _without_device(getattr(torch, name)))
    for kind in ("Float", "Double", "Half", "BFloat16", "Int", "Long", "Short", "Char", "Byte", "Bool"):
        setattr(torch.cuda, f"{kind}Tensor", getattr(torch, f"{kind}Tensor"))
    torch.set_default_device = _set_default_device
    _register_for_the_cpu()
    DeviceContext.__enter__ = _enter  # type: ignore[method-assign]
    DeviceContext.__exit__ = _exit  # type: ignore[method-assign]
    # Compilers of torch would start others; what they are given does the same without.
    torch.compile = torch.jit.script = _as_it_is  # type: ignore[assignment]
    torch.Generator = _Generator  # type: ignore[misc]
    torch._C._cuda_getCurrentRawStream = _constant(0)  # noqa: SLF001 - imported by KernelBook's own code
    _guards._empty_strided_cuda = _empty_strided  # type: ignore[attr-defined]  # noqa: SLF001 - the same


def _register_for_the_cpu() -> None:
    """An operator that an answer registers for CUDA alone is called for tensors on the CPU."""
    library: Any = torch.library
    custom_op, register_kernel, implement = library.custom_op, library.register_kernel, library.Library.impl

    def for_all(*args: Any, device_types: Any = None, **kwargs: Any) -> Any:
        assert device_types is None or device_types
        return custom_op(*args, **kwargs)

    def for_one(operator: Any, device_types: Any, *args: Any, **kwargs: Any) -> Any:
        return register_kernel(operator, "cpu" if device_types == "cuda" else device_types, *args, **kwargs)

    def implemented(self: Any, name: Any, function: Any, dispatch_key: str = "", **kwargs: Any) -> Any:
        return implement(self, name, function, "CPU" if dispatch_key == "CUDA" else dispatch_key, **kwargs)

    library.custom_op, library.register_kernel, library.Library.impl = for_all, for_one, implemented


def _without_device(function: Any) -> Any:
    """A function of the CPU that takes the device of the one for a GPU, and lets it be."""
    return lambda *args, **_: function(*(value for value in args if isinstance(value, torch.Tensor)))


def _constant(answer: Any) -> Any:
    return lambda *_, **__: answer


class _Generator:
    """torch.Generator on the CPU."""

    def __new__(cls, device: Any = None) -> Any:
        assert device is None or isinstance(device, str | torch.device)
        return torch._C.Generator()  # noqa: SLF001 - torch.Generator is this class


def _as_it_is(code: Any = None, *_: Any, **__: Any) -> Any:
    return (lambda given: given) if code is None else code


def _empty_strided(size: Any, stride: Any, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty_strided(size, stride, dtype=dtype, device=CUDA)


def _set_default_device(device: Any = None) -> None:
    default_is_gpu[:] = [device is not None and torch.device(device).type == "cuda"]


def _enter(self: DeviceContext) -> DeviceContext:
    default_is_gpu.append(self.device.type == "cuda")
    return self


def _exit(self: DeviceContext, *_: object) -> None:
    assert self is not None
    default_is_gpu.pop()


class _Idle:
    """A stream, an event, a device or a guard of one: nothing waits for it."""

    cuda_stream = 0
    device = CUDA
    device_index = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def elapsed_time(self, _: Any) -> float:
        """A millisecond."""
        return 1.0

    def query(self) -> bool:
        """All work is done."""
        return True

    def _nothing(self, *_: Any, **__: Any) -> None:
        """Wait for nothing."""

    record = wait = synchronize = wait_stream = wait_event = record_event = record_stream = _nothing
