"""A device of `stages.shared.kernels.timing` whose time is counted, not measured: queues, a cache and two clocks."""

from collections.abc import Callable


class SimulatedDevice:
    """The host's clock moves only when it waits or works; each queue of the device works on its own."""

    def __init__(self) -> None:
        self.host_ms = 0.0
        self.free_at = {"default": 0.0, "side": 0.0}
        self.cold = True

    def now_ms(self) -> float:
        return self.host_ms

    def mark(self) -> float:
        return max(self.host_ms, self.free_at["default"])

    def between_ms(self, start: float, end: float) -> float:
        self.host_ms = max(self.host_ms, end)
        return end - start

    def drain(self) -> None:
        self.host_ms = max(self.host_ms, *self.free_at.values())

    def flush(self) -> None:
        self.cold = True

    def enqueue(self, ms: float, queue: str = "default") -> None:
        """Work as a kernel does it: the host goes on at once."""
        self.free_at[queue] = max(self.host_ms, self.free_at[queue]) + ms

    def kernel(self, ms: float, *, queue: str = "default", cold_ms: float = 0.0) -> Callable[[int], Callable[[], int]]:
        """A runner of calls that start a kernel, slower where the cache is cold; they return their seed."""

        def call(seed: int) -> int:
            self.enqueue(ms + cold_ms * self.cold, queue)
            self.cold = False
            return seed

        return lambda seed: lambda: call(seed)
