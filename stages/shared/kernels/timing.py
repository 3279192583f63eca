"""How long calls take on a device, one against the other, in a process that one of them may have tampered with.

Runs in the child that loads the answer. Everything that a clock needs is taken hold of before the answer is loaded, so
that a name that the answer replaces later is not the one that is used. What the child finds is a claim: the parent
checks it against its own clock and against the reference timed alone (see `speedup.py`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Call = Callable[[], Any]
Runner = Callable[[int], Call]
"""Makes a call with inputs of its own, by their seed."""
WARM_UP = 5
"""Calls of each runner that are not timed: they compile, autotune and fill allocators."""
ROW_MS = 50.0
MOST_IN_A_ROW = 500
_FEWEST_LAPS = 10


class Device(Protocol):
    """What is needed of a device to time work on it."""

    def now_ms(self) -> float:
        """The host's clock."""

    def mark(self) -> Any:
        """A point in the device's default queue of work."""

    def between_ms(self, start: Any, end: Any) -> float:
        """The device's time between two marks, once it has passed the second: waits for that."""

    def drain(self) -> None:
        """Wait for all work in all queues."""

    def flush(self) -> None:
        """Empty the caches that inputs may lie in."""


class Host:
    """The processor: work is done when the call returns."""

    def __init__(self) -> None:
        self._clock = time.perf_counter_ns

    def now_ms(self) -> float:
        """By the clock as it was when this object was made."""
        return self._clock() / 1e6

    def mark(self) -> float:
        """Now."""
        return self.now_ms()

    def between_ms(self, start: float, end: float) -> float:
        """Nothing to wait for."""
        return end - start

    def drain(self) -> None:
        """Nothing runs beside the caller."""

    def flush(self) -> None:
        """Caches of a processor are small against the time of a call under the interpreter."""


class Cuda:
    """The current CUDA device; makes its context, so never in a process that will fork.

    Events and synchronisation are those of torch's C extension, whose types cannot be changed from Python.
    """

    def __init__(self) -> None:
        import torch  # noqa: PLC0415

        self._clock = time.perf_counter_ns
        self._event: Callable[..., Any] = torch._C._CudaEventBase  # noqa: SLF001
        self._synchronize: Callable[[], None] = torch._C._cuda_synchronize  # noqa: SLF001
        self._queue = torch.cuda.default_stream()
        cache = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
        # Twice the cache, so that none of it survives whatever the rule of replacement is.
        self._flushed = torch.empty(max(2 * cache, 1 << 26), dtype=torch.int8, device="cuda")
        self._fill: Callable[[Any], Any] = torch.Tensor.zero_

    def now_ms(self) -> float:
        """By the clock as it was when this object was made."""
        return self._clock() / 1e6

    def mark(self) -> Any:
        """An event in the default stream, whichever stream is the current one."""
        event = self._event(enable_timing=True)
        event.record(self._queue)
        return event

    def between_ms(self, start: Any, end: Any) -> float:
        """By the clock of the device, which ticks every half microsecond."""
        end.synchronize()
        elapsed: float = start.elapsed_time(end)
        return elapsed

    def drain(self) -> None:
        """All streams of the device."""
        self._synchronize()

    def flush(self) -> None:
        """Write more than the second-level cache holds."""
        self._fill(self._flushed)
        self._synchronize()


@dataclass(frozen=True)
class Lap:
    """One timed call, in milliseconds."""

    device_ms: float
    """By the device, from before the call to the end of what it put into the default queue. The host's part counts: the
    device waits for the kernels that the host launches."""
    host_ms: float
    """By the host, until the device had done that."""
    left_ms: float
    """By the host, after that, until no queue had work: what ran in other queues."""


def lap(device: Device, call: Call) -> tuple[Any, Lap]:
    """Call once, from cold caches on an idle device; returns the output and how long it took."""
    device.flush()
    device.drain()
    began = device.now_ms()
    start = device.mark()
    output = call()
    end = device.mark()
    device_ms = device.between_ms(start, end)
    done = device.now_ms()
    device.drain()
    return output, Lap(device_ms, done - began, device.now_ms() - done)


def race(
    device: Device,
    runners: Sequence[Runner],
    seeds: Sequence[int],
    budget_s: float,
    seen: Callable[[int, int, Any], None],
) -> list[list[Lap]]:
    """Time runners in turns, so that what slows the machine down slows all of them.

    Args:
        device: where.
        runners: what is timed; a call is made for each lap anew, outside of what is timed.
        seeds: one per lap, the same for all runners, of which another one goes first in each lap.
        budget_s: no lap starts after so many seconds, once there are ten.
        seen: is given the number of the lap, the place of the runner and its output, right after the call.

    Returns:
        The laps of each runner, equally many.
    """
    for runner in runners:
        for _ in range(WARM_UP):
            runner(seeds[0])()
    device.drain()
    laps: list[list[Lap]] = [[] for _ in runners]
    began = device.now_ms()
    for number, seed in enumerate(seeds):
        if number >= _FEWEST_LAPS and device.now_ms() - began > budget_s * 1e3:
            break
        for turn in range(len(runners)):
            place = (number + turn) % len(runners)
            output, took = lap(device, runners[place](seed))
            laps[place].append(took)
            seen(number, place, output)
    return laps


def in_a_row(device: Device, call: Call, times: int) -> None:
    """Call without a pause, until all work is done; for a clock outside of this process."""
    for _ in range(times):
        call()
    device.drain()


def times_in_a_row(laps: list[Lap]) -> int:
    """How many calls in a row are long enough to be timed from outside."""
    typical = sorted(one.device_ms for one in laps)[len(laps) // 2]
    return max(1, min(MOST_IN_A_ROW, round(ROW_MS / max(typical, 1e-3))))
