"""What the parent believes of the times that a child claims, and the speedup that follows.

The child has loaded the answer, so its figures prove nothing. Two others come from outside of it: the reference timed
alone, in a process without an answer, and the parent's own clock around calls without a pause.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from stages.shared.kernels.timing import Lap

_NOISE = 1.5, 0.05
"""Two honest measurements of the same thing seldom differ by more than this factor and these milliseconds."""
_LIE = 4.0, 0.5
"""And never by so much."""


@dataclass(frozen=True)
class Claims:
    """Of a child that timed reference and answer in turns, and then called the answer without a pause."""

    reference: Sequence[Lap]
    answer: Sequence[Lap]
    calls: int
    took_ms: float
    """For all those calls, by the parent's clock."""


@dataclass(frozen=True)
class Belief:
    """What is left of the claims."""

    speedup: float | None
    """Time of the reference divided by the time of the answer; None where the claims are no times."""
    tampered: bool
    """Whether the claims contradict what was measured outside."""


def cost_ms(lap: Lap) -> float:
    """What a call costs its caller: the device's time, unless the host had to wait much longer for the work."""
    waited = lap.host_ms + lap.left_ms
    return lap.device_ms if waited <= _bound(lap.device_ms, _NOISE) else waited


def believe(claims: Claims, alone: Sequence[Lap]) -> Belief:
    """Check the claims and give the speedup.

    The median of the ratios within laps is what noise moves least; it counts only as far as the reference alone bears
    it out, so that an answer gains nothing by slowing the reference down beside it.

    Args:
        claims: of the child with the answer.
        alone: the reference's laps in a process of its own.
    """
    laps = [*claims.reference, *claims.answer, *alone]
    times = [time for lap in laps for time in (lap.device_ms, lap.host_ms, lap.left_ms)]
    whole = len(claims.reference) == len(claims.answer) > 0 and len(alone) > 0 and claims.calls > 0
    if not whole or not all(math.isfinite(time) and time >= 0 for time in times):
        return Belief(None, tampered=True)
    reference, answer = ([max(cost_ms(lap), 1e-6) for lap in laps] for laps in (claims.reference, claims.answer))
    clean = statistics.median(cost_ms(lap) for lap in alone)
    call_ms = claims.took_ms / claims.calls
    typical = statistics.median(answer)
    # Calls in a row keep their caches and overlap with the host: they cannot take longer than single ones.
    hidden = call_ms > _bound(typical, _NOISE)
    least = clean / (call_ms if hidden else max(typical, call_ms / _NOISE[0]))
    ratio = statistics.median(r / a for r, a in zip(reference, answer, strict=True))
    tampered = call_ms > _bound(typical, _LIE) or statistics.median(reference) > _bound(clean, _LIE)
    return Belief(round(min(ratio, least), 4), tampered)


def _bound(ms: float, tolerance: tuple[float, float]) -> float:
    factor, slack_ms = tolerance
    return factor * ms + slack_ms
