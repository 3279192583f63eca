"""What a call returned, as bytes: a child writes it with torch, the parent reads it with numpy."""

import math
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


DEEPEST, LONGEST = 20, 10_000
"""How deep a value may be nested, and how many items or characters each part of it may have. What a child sends is
refused beyond that, so that it costs the parent no more memory than a few times its bytes, and no stack."""
Text = Annotated[str, Meta(max_length=LONGEST)]


class Tensor(msgspec.Struct, tag="tensor", frozen=True):
    """A tensor, contiguous, in the machine's byte order; a dtype that numpy lacks is sent as float32."""

    dtype: Text
    """As torch names it, without `torch.`."""
    shape: Annotated[list[int], Meta(max_length=64)]
    data: bytes


class Many(msgspec.Struct, tag="many", frozen=True):
    """A list or a tuple."""

    items: Annotated[list["Value"], Meta(max_length=LONGEST)]

    def __post_init__(self) -> None:
        """Refuse what is nested too deep."""
        _check_depth(self)


class Keyed(msgspec.Struct, tag="keyed", frozen=True):
    """A dictionary; keys are written as text."""

    items: Annotated[dict[Text, "Value"], Meta(max_length=LONGEST)]

    def __post_init__(self) -> None:
        """Refuse what is nested too deep."""
        _check_depth(self)


class Plain(msgspec.Struct, tag="plain", frozen=True):
    """A scalar of Python's own, text or None."""

    value: bool | int | float | Text | None


class Opaque(msgspec.Struct, tag="opaque", frozen=True):
    """Something else, of which only the name of its type is known."""

    kind: Text


Value = Tensor | Many | Keyed | Plain | Opaque

_NUMPY = frozenset(
    [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    + ["bool", "float16", "float32", "float64", "complex64", "complex128"]
)


def value_of(result: object, depth: int = 0) -> Value:
    """The value that a child sends for what a call returned; of what is too long or too deep only the type."""
    import torch  # noqa: PLC0415

    if isinstance(result, torch.Tensor):
        return _tensor(result)
    if result is None or isinstance(result, bool | float) or (isinstance(result, int) and abs(result) < 1 << 63):
        return Plain(result)
    if isinstance(result, str | list | tuple | dict) and len(result) <= LONGEST and depth < DEEPEST:
        if isinstance(result, str):
            return Plain(result)
        if isinstance(result, dict):
            return Keyed({str(key)[:LONGEST]: value_of(item, depth + 1) for key, item in result.items()})
        return Many([value_of(item, depth + 1) for item in result])
    return Opaque(type(result).__name__[:LONGEST])


def _tensor(tensor: "torch.Tensor") -> Tensor | Opaque:
    import torch  # noqa: PLC0415

    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
        return Opaque(str(tensor.layout))
    name = str(tensor.dtype).removeprefix("torch.")
    plain = torch.Tensor.detach(tensor).cpu().resolve_conj().resolve_neg()
    if name not in _NUMPY:
        plain = plain.to(torch.float32)
    return Tensor(name, list(tensor.shape), plain.contiguous().numpy().tobytes())


def array(tensor: Tensor) -> NDArray[Any]:
    """The numbers of a tensor that a child sent.

    Raises:
        ValueError: shape, dtype and the amount of data contradict each other.
    """
    dtype = np.dtype(tensor.dtype if tensor.dtype in _NUMPY else "float32")
    if any(size < 0 for size in tensor.shape) or math.prod(tensor.shape) * dtype.itemsize != len(tensor.data):
        raise ValueError(f"a tensor of shape {tensor.shape} with {len(tensor.data)} bytes")
    return np.frombuffer(tensor.data, dtype=dtype).reshape(tensor.shape)


def _check_depth(value: Value) -> None:
    """Of a value whose parts were checked.

    Raises:
        ValueError: it is nested deeper than DEEPEST.
    """
    level: list[Value] = [value]
    for _ in range(DEEPEST + 1):
        holders = [each for each in level if isinstance(each, Many | Keyed)]
        if not holders:
            return
        level = [item for each in holders for item in (each.items if isinstance(each, Many) else each.items.values())]
    raise ValueError(f"nested deeper than {DEEPEST}")


def leaves(value: Value) -> list[Value]:
    """The values that hold no others, in order."""
    if isinstance(value, Many):
        return [leaf for item in value.items for leaf in leaves(item)]
    if isinstance(value, Keyed):
        return [leaf for item in value.items.values() for leaf in leaves(item)]
    return [value]
