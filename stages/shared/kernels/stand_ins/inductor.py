"""What KernelBook's own kernels import: TorchInductor's runtime, with the names that newer versions of it dropped."""

import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from torch._inductor.runtime import triton_helpers, triton_heuristics

_BLOCKS = ("XBLOCK", "YBLOCK", "ZBLOCK")


def install() -> None:
    """Import it, which takes seconds, and add what is missing. Once for a process."""
    assert triton_helpers
    if not hasattr(triton_heuristics, "grid"):
        triton_heuristics.grid = _grid  # type: ignore[attr-defined]
    # The real one imports all of Inductor, for what are torch's own operations.
    select_algorithm = types.ModuleType("torch._inductor.select_algorithm")
    operations = {name: getattr(torch, name) for name in ("mm", "bmm", "addmm", "baddbmm")}
    vars(select_algorithm)["extern_kernels"] = types.SimpleNamespace(**operations, convolution=_convolution)
    sys.modules[select_algorithm.__name__] = select_algorithm


def _grid(*sizes: int) -> Callable[[dict[str, Any]], tuple[int, ...]]:
    """The grid that covers these sizes, innermost first, by blocks of XBLOCK, YBLOCK, ZBLOCK."""
    return lambda meta: tuple(
        -(-size // meta.get(block, 1)) for size, block in zip(reversed(sizes), _BLOCKS, strict=False)
    )


def _convolution(given: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, **how: Any) -> Any:
    names = ("stride", "padding", "dilation", "transposed", "output_padding", "groups")
    return torch.convolution(given, weight, bias, *(how[name] for name in names))
