"""Statistics of sequence lengths that a trainer's `seq_len` is chosen by. All lengths are in tokens."""

import bisect
from collections.abc import Sequence
from typing import Any

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 100.0)
COVERAGES = (99.0, 99.5, 100.0)
COMMON_LIMITS = tuple(1 << power for power in range(10, 18))
"""1,024 to 131,072."""
_STEP = 1024


def length_stats(lengths: Sequence[int]) -> dict[str, Any]:
    """Percentiles, shares under the common limits, and for each candidate `seq_len` what packing makes of it.

    Returns:
        JSON-ready statistics; only `rows` where there are no lengths.
    """
    if not lengths:
        return {"rows": 0}
    ordered = sorted(lengths)
    rows = len(ordered)
    at_or_under = {limit: bisect.bisect_right(ordered, limit) for limit in COMMON_LIMITS}
    recommended = {f"{share:g}": recommended_seq_len(ordered, share) for share in COVERAGES}
    candidates = sorted({*COMMON_LIMITS, *recommended.values()})
    return {
        "rows": rows,
        "total_tokens": sum(ordered),
        "mean": round(sum(ordered) / rows, 3),
        "percentiles": {f"{p:g}": percentile(ordered, p) for p in PERCENTILES},
        "at_or_under": {str(limit): n for limit, n in at_or_under.items()},
        "share_over": {str(limit): round(1 - n / rows, 6) for limit, n in at_or_under.items()},
        "recommended_seq_len": recommended,
        "packing": {str(limit): packing(ordered, limit) for limit in candidates},
    }


def percentile(ordered: Sequence[int], share: float) -> int:
    """Nearest-rank percentile: the smallest of the sorted lengths that `share` per cent of the rows do not exceed."""
    # In thousandths, so that 99.9 % of a row count is exact.
    rank = -(-len(ordered) * round(share * 1000) // 100_000)
    return ordered[max(rank, 1) - 1]


def recommended_seq_len(ordered: Sequence[int], share: float) -> int:
    """The smallest multiple of 1,024 that holds `share` per cent of the rows whole."""
    return -(-percentile(ordered, share) // _STEP) * _STEP


def packing(ordered: Sequence[int], seq_len: int) -> dict[str, Any]:
    """Best-fit decreasing packing of the rows that fit into sequences of `seq_len`.

    Args:
        ordered: lengths in ascending order.
        seq_len: tokens a sequence holds.

    Returns:
        `rows` and `tokens` that fit, `sequences` they fill, and `efficiency`, the filled share of those sequences.
    """
    fitting = ordered[: bisect.bisect_right(ordered, seq_len)]
    # free[i] is the room left in a sequence; kept sorted, so that the tightest that still fits is one bisection away.
    free: list[int] = []
    for length in reversed(fitting):
        i = bisect.bisect_left(free, length)
        room = free.pop(i) if i < len(free) else seq_len
        bisect.insort(free, room - length)
    tokens = sum(fitting)
    efficiency = round(tokens / (len(free) * seq_len), 6) if free else 0.0
    return {"rows": len(fitting), "tokens": tokens, "sequences": len(free), "efficiency": efficiency}
