"""A kernel, in a file: Triton reads its source."""

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def double(numbers: tl.tensor, BLOCK: tl.constexpr) -> None:  # noqa: N803 - constants of kernels are in capitals
    places = numbers + tl.arange(0, BLOCK)
    tl.store(places, tl.load(places) * 2.0)
