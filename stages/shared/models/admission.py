"""Who may send when: each endpoint's limit, its health, and a queue of those who wait."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from stages.shared.models.adaptive_limit import AdaptiveLimit

_FAILURES_TO_SET_ASIDE = 3
_FIRST_PROBE_S = 1.0
_LONGEST_PROBE_S = 30.0


@dataclass
class Endpoint:
    """A base URL with what is known of it."""

    name: str
    client: Any
    limit: AdaptiveLimit
    failures: int = 0
    """In a row, since the last answer."""
    has_answered: bool = False
    """Whether it took a request: so its set-up is right, and a request that it rejects is at fault itself."""
    probe_s: float = field(default=_FIRST_PROBE_S)
    aside_at: float = float("-inf")
    """When it was last set aside: a request from before that tells nothing new."""

    @property
    def aside(self) -> bool:
        """Whether it fails so often that it gets one request at a time, as a probe."""
        return self.failures >= _FAILURES_TO_SET_ASIDE

    def free(self, now: float) -> bool:
        """Whether it takes one more request now."""
        return self.limit.free(now) and not (self.aside and self.limit.in_flight)

    def answered(self, now: float) -> None:
        """It gave an answer, good or not: it is up."""
        self.failures, self.probe_s, self.has_answered = 0, _FIRST_PROBE_S, True
        self.limit.succeeded(now)

    def failed(self, now: float, sent_at: float) -> None:
        """It did not answer a request of `sent_at`, or with a server error."""
        self.failures += 1
        if self.aside and sent_at >= self.aside_at:
            self.aside_at = now
            self.limit.blocked_until = max(self.limit.blocked_until, now + self.probe_s)
            self.probe_s = min(2 * self.probe_s, _LONGEST_PROBE_S)


class Admission:
    """Hands out places at the endpoint that has the fewest requests in flight, at most `ceiling` of all endpoints."""

    def __init__(self, endpoints: list[Endpoint], ceiling: int) -> None:
        self.endpoints = endpoints
        self.ceiling = ceiling
        self._waiting: deque[asyncio.Future[Endpoint]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        """Requests that are under way at all endpoints."""
        return sum(endpoint.limit.in_flight for endpoint in self.endpoints)

    async def acquire(self) -> Endpoint:
        """Wait for a place."""
        endpoint = self._best() if not self._waiting else None
        if endpoint is not None:
            endpoint.limit.in_flight += 1
            return endpoint
        place: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._wake()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.release(place.result())
            raise

    def release(self, endpoint: Endpoint) -> None:
        """Give a place back, and let who waits take what is free."""
        endpoint.limit.in_flight -= 1
        self._wake()

    def _best(self) -> Endpoint | None:
        if self.in_flight >= self.ceiling:
            return None
        now = time.monotonic()
        free = [endpoint for endpoint in self.endpoints if endpoint.free(now)]
        return min(free, key=lambda endpoint: endpoint.limit.in_flight, default=None)

    def _wake(self) -> None:
        while self._waiting:
            if self._waiting[0].done():
                self._waiting.popleft()
                continue
            endpoint = self._best()
            if endpoint is None:
                self._wake_later()
                return
            endpoint.limit.in_flight += 1
            self._waiting.popleft().set_result(endpoint)

    def _wake_later(self) -> None:
        """Nothing is free: look again when the first block ends. Where nothing is blocked, a release will come."""
        now = time.monotonic()
        ends = [endpoint.limit.blocked_until for endpoint in self.endpoints if endpoint.limit.blocked_until > now]
        if self._timer is not None:
            self._timer.cancel()
        if ends:
            self._timer = asyncio.get_running_loop().call_later(min(ends) - now + 0.001, self._wake)
