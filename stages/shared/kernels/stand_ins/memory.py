"""What a kernel may touch in the interpreter: the memory of the tensors that it was given.

A GPU does not notice an access just outside a tensor: a load finds what lies there, a store is seen by nobody or spoils
another tensor. Here it finds garbage and is dropped, always the same, and never the interpreter's own memory. An access
far from any tensor ends the kernel, as on a GPU.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]

_NEAR = 2 << 20
"""The caching allocator of torch takes memory for small tensors in pieces of 2 MiB."""


class IllegalAccessError(RuntimeError):
    """What a GPU reports when a kernel leaves the memory that is mapped."""

    def __init__(self) -> None:
        super().__init__("CUDA error: an illegal memory access was encountered")


class Memory:
    """Address ranges of one launch."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        """`ranges` are pairs of an address and a size in bytes."""
        found = sorted({(start, start + size) for start, size in ranges})
        self._starts = np.array([start for start, _ in found], dtype=np.uint64)
        self._ends = np.array([end for _, end in found], dtype=np.uint64)
        self._ranges = found

    def inside(self, pointers: Numbers, mask: Numbers, size: int) -> Numbers | None:
        """Which of the masked-in accesses of `size` bytes stay inside; None for all of them.

        Raises:
            IllegalAccessError: one is far from every range.
        """
        mask = np.broadcast_to(mask, pointers.shape)
        active = pointers.reshape(-1) if mask.all() else pointers[mask]
        if active.size == 0:
            return None
        lowest, highest = int(active.min()), int(active.max()) + size
        if any(start <= lowest and highest <= end for start, end in self._ranges):
            return None
        place = np.searchsorted(self._starts, active, side="right").astype(np.int64) - 1
        known = place >= 0
        ends = self._ends[np.maximum(place, 0)] if self._ranges else np.zeros_like(active)
        ok = known & (active + np.uint64(size) <= ends)
        if ok.all():
            return None
        if not self._are_near(active[~ok]):
            raise IllegalAccessError
        allowed = np.zeros(pointers.shape, dtype=bool)
        allowed[mask] = ok
        return allowed

    def _are_near(self, pointers: Numbers) -> bool:
        return all(
            any(start - _NEAR <= address < end + _NEAR for start, end in self._ranges)
            for address in (int(pointers.min()), int(pointers.max()))
        )


def garbage_of(dtype: np.dtype[Any], value: float) -> Any:
    """What uninitialised memory of a type holds, and what a load finds outside of all tensors."""
    if dtype.kind == "f":
        return dtype.type(value)
    return dtype.type(1) if dtype.kind == "b" else np.iinfo(dtype).max // 3
