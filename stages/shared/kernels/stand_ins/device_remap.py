"""Let code that was written for a GPU run on the CPU, unchanged: tensors say that they are on `cuda:0`.

Tensors that the answer makes without naming a device stay on the host, as they would: a kernel may not take them.
"""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from stages.shared.kernels import observation
from stages.shared.kernels.loading import tensors

CUDA = torch.device("cuda:0")
CPU = torch.device("cpu")

EMPTY = frozenset({"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "empty_permuted"})
_MAKES = {"zeros", "ones", "full", "rand", "randn", "randint", "randperm", "arange", "linspace", "logspace", "eye"}
_MAKES |= {"tensor", "as_tensor", "from_numpy", "scalar_tensor", "tril_indices", "triu_indices"} | EMPTY
_LOOKS = {"view", "view_as", "reshape", "flatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "expand"}
_LOOKS |= {"detach", "contiguous", "as_strided", "stride", "size", "numel", "dim", "data_ptr", "untyped_storage"}
_LOOKS |= {"storage_offset", "element_size", "is_contiguous", "is_floating_point", "requires_grad_", "__len__"}
_LOOKS |= {"__getitem__", "__setitem__", "__set__", "copy_", "fill_", "zero_", "normal_", "uniform_"}
"""Methods that do not read what a tensor holds."""
_TO_NUMPY = frozenset({"numpy", "__array__"})
_DEVICES = (torch.device, torch._C._nn._parse_to)  # noqa: SLF001 - the second is a part of nn.Module.to
"""Functions that are about devices and touch none."""
_host: dict[int, torch.Tensor] = {}
"""Tensors on the host, by the address of their memory; held, so that no address is used again."""
_garbage: dict[int, torch.Tensor] = {}
"""Tensors that the answer got uninitialised, by the address of their memory; held too."""
_addresses: dict[int, int] = {}
"""Sizes in bytes of the memory whose address the answer asked for, by address."""
default_is_gpu: list[bool] = []
"""Whether each of the default devices that are set, of which the last one counts, is the GPU."""


def is_on_host(tensor: torch.Tensor) -> bool:
    """Whether a tensor was made without naming a device, or copied to the CPU."""
    return bool(_host) and tensor.untyped_storage().data_ptr() in _host


def asked_addresses() -> dict[int, int]:
    """Memory that a kernel may be told of by a number: address to size in bytes."""
    return _addresses


def settle(output: Any) -> None:
    """After a call of an answer: look for garbage in what it returned, and forget what was on the host."""
    with torch._C.DisableTorchFunction():  # noqa: SLF001 - this is no work of the answer
        note_garbage(tensors(output))
    _host.clear()
    _garbage.clear()
    _addresses.clear()


class DeviceRemap(TorchFunctionMode):
    """Turns every `cuda` into `cpu` on the way into torch, and back on the way out."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of `func`."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "__get__":
            return _property(func, args, kwargs)
        if func in _DEVICES:
            return func(*args, **kwargs)
        if name == "get_device":
            return -1 if is_on_host(args[0]) else 0
        if name in _TO_NUMPY and observation.current.calling and not (is_on_host(args[0]) or kwargs.get("force")):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        args, kwargs = _with_devices(name, args, kwargs)
        asked = [value for value in (*args[1:], *kwargs.values()) if _is_device(value)]
        given = {key: _on_cpu(value) for key, value in kwargs.items()}
        if name in {"cuda", "cpu"}:
            return _moved(args[0], to_host=name == "cpu")
        if name == "pin_memory":
            return args[0]
        if _garbage and name not in _LOOKS:
            note_garbage(args)
        result = func(*(_on_cpu(value) for value in args), **given)
        if name == "data_ptr":
            storage = args[0].untyped_storage()
            _addresses[storage.data_ptr()] = storage.nbytes()
        if name == "type" and isinstance(result, str) and not is_on_host(args[0]):
            return result.replace("torch.", "torch.cuda.", 1)
        if not isinstance(result, torch.Tensor):
            return result
        if name in EMPTY:
            _fill(result)
        if name in {"to", "tensor", "as_tensor", "type"} and asked:
            return _moved(result, to_host=torch.device(asked[0]).type == "cpu")
        if name in {"to", "type_as"} and len(args) > 1 and isinstance(args[1], torch.Tensor):
            return _moved(result, to_host=is_on_host(args[1]))
        if observation.current.calling and _stays_on_host(name, asked, args, kwargs):
            _host[result.untyped_storage().data_ptr()] = result
        return result


def _property(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    owner = getattr(func, "__self__", None)
    if owner is torch.Tensor.device:
        return CPU if is_on_host(args[0]) else CUDA
    if owner is torch.Tensor.is_cuda:
        return not is_on_host(args[0])
    if owner is torch.Tensor.is_cpu:
        return is_on_host(args[0])
    return func(*args, **kwargs)


def _with_devices(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with a device for the number of a GPU."""
    if type(kwargs.get("device")) is int:
        kwargs = kwargs | {"device": CUDA}
    if name == "to" and len(args) > 1 and type(args[1]) is int:
        args = (args[0], CUDA, *args[2:])
    return args, kwargs


def _is_device(value: object) -> bool:
    return isinstance(value, torch.device) or (isinstance(value, str) and value.split(":")[0] in {"cuda", "cpu"})


def _on_cpu(value: Any) -> Any:
    if isinstance(value, torch.device):
        return CPU if value.type == "cuda" else value
    if isinstance(value, str) and value.split(":")[0] == "cuda":
        return "cpu"
    return value.replace("torch.cuda.", "torch.") if isinstance(value, str) else value


def _moved(tensor: torch.Tensor, *, to_host: bool) -> torch.Tensor:
    """The tensor on the other side: itself where it is there, else a copy."""
    if is_on_host(tensor) == to_host:
        return tensor
    copy = tensor.clone()
    if to_host and observation.current.calling:
        _host[copy.untyped_storage().data_ptr()] = copy
    return copy


def _stays_on_host(name: str, asked: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if asked:
        return torch.device(asked[0]).type == "cpu"
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
    if tensors:
        return all(is_on_host(tensor) for tensor in tensors)
    return name in _MAKES and not (default_is_gpu and default_is_gpu[-1])


def _fill(tensor: torch.Tensor) -> None:
    """Give uninitialised memory the content that it has in this call."""
    if tensor.dtype == torch.bool:
        return
    tensor.fill_(content(tensor.dtype))
    if observation.current.calling:
        _garbage[tensor.untyped_storage().data_ptr()] = tensor


def content(dtype: torch.dtype) -> float:
    """What uninitialised memory of a type holds in this call."""
    is_number = dtype.is_floating_point or dtype.is_complex
    return observation.current.garbage if is_number else torch.iinfo(dtype).max // 3


def note_garbage(values: Any) -> None:
    """Count it where one of the tensors holds what uninitialised memory held."""
    for tensor in values:
        if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() in _garbage:
            observation.current.garbage_reads += bool((tensor == content(tensor.dtype)).any())
