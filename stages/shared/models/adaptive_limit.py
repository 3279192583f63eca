"""How many requests one endpoint takes at a time, learned from its answers.

It grows fast until the first refusal, then holds just below the level that was refused and probes beyond it more and
more rarely, but faster and faster once a probe succeeds. A burst of refusals is one event: it shrinks the limit by as
many requests as were refused, which is where a server with a fixed number of places stands.
"""

from dataclasses import dataclass, field

_START = 64
_GROWTH = 4
_FIRST_HOLD_S = 5.0
_LONGEST_HOLD_S = 60.0


@dataclass
class AdaptiveLimit:
    """The state of one endpoint. Times are seconds of a monotonic clock that the caller reads."""

    ceiling: int
    """Never more than this in flight."""
    limit: float = field(init=False)
    in_flight: int = 0
    blocked_until: float = 0.0
    """Until then the server asked for no requests."""
    _slow_start: bool = True
    _successes: int = 0
    _shrunk_at: float = float("-inf")
    _hold_until: float = 0.0
    _hold_s: float = _FIRST_HOLD_S
    _step: int = 1

    def __post_init__(self) -> None:
        self.limit = float(min(self.ceiling, _START))

    def free(self, now: float) -> bool:
        """Whether one more request may be sent."""
        return now >= self.blocked_until and self.in_flight < int(self.limit)

    def succeeded(self, now: float) -> None:
        """A request was answered. The limit grows once per limit's worth of answers, that is, once per round trip."""
        self._successes += 1
        if self._successes < int(self.limit) or self.limit >= self.ceiling:
            return
        self._successes = 0
        if self._slow_start:
            self.limit *= _GROWTH
        elif now >= self._hold_until:
            # Past the level that was refused, go faster and faster: the server may have grown.
            self.limit += self._step
            self._step *= 2
        self.limit = min(self.limit, float(self.ceiling))

    def refused(self, now: float, sent_at: float, retry_after_s: float | None) -> None:
        """The server said 429 to a request of `sent_at`; one from before the last shrink belongs to the same burst."""
        if retry_after_s is not None:
            self.blocked_until = max(self.blocked_until, now + retry_after_s)
        if sent_at <= self._shrunk_at:
            # Of the same burst: each further refusal tells how many of those in flight were too many.
            self.limit = max(1.0, self.limit - 1)
            return
        if not self._slow_start:
            self._hold_s = min(self._hold_s * 2, _LONGEST_HOLD_S)
        self._slow_start, self._step, self._successes = False, 1, 0
        self._shrunk_at = now
        self._hold_until = now + self._hold_s
        # One for this request, and one below the level that was refused.
        self.limit = max(1.0, self.in_flight - 2.0)
