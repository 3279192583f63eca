import time
from typing import Any

import pytest
import torch

from stages.shared.kernels.timing import Host, Lap, in_a_row, lap, race, times_in_a_row
from tests.shared.kernels.simulated_device import SimulatedDevice

SEEDS = list(range(100, 120))


def unseen(number: int, place: int, output: Any) -> None:
    pass


def test_a_lap_is_the_time_of_the_device_and_of_the_host_that_waits() -> None:
    device = SimulatedDevice()

    assert lap(device, device.kernel(2.0)(7)) == (7, Lap(2.0, 2.0, 0.0))


def test_work_in_another_queue_is_left_when_the_default_one_is_done() -> None:
    device = SimulatedDevice()

    assert lap(device, device.kernel(2.0, queue="side")(7)) == (7, Lap(0.0, 0.0, 2.0))


def test_the_time_that_a_launch_costs_the_host_counts() -> None:
    device = SimulatedDevice()

    def slow_to_launch() -> None:
        device.host_ms += 3.0
        device.enqueue(1.0)

    assert lap(device, slow_to_launch)[1] == Lap(4.0, 4.0, 0.0)


def test_every_lap_starts_cold() -> None:
    device = SimulatedDevice()

    (laps,) = race(device, [device.kernel(1.0, cold_ms=4.0)], SEEDS, 1.0, unseen)

    assert {one.device_ms for one in laps} == {5.0}


def test_what_is_slow_only_at_first_is_not_timed() -> None:
    """A kernel compiles or tunes itself; the warm-up is for that."""
    device = SimulatedDevice()
    calls = []

    def slow_first() -> None:
        calls.append(1)
        device.enqueue(500.0 if len(calls) <= 3 else 1.0)

    (laps,) = race(device, [lambda _: slow_first], SEEDS, 1.0, unseen)

    assert {one.device_ms for one in laps} == {1.0}


def test_runners_take_turns_with_equal_seeds_and_a_call_is_made_for_each_lap() -> None:
    device = SimulatedDevice()
    told: list[tuple[str, str, int]] = []
    seen: list[tuple[int, int, int]] = []

    def runner(name: str) -> Any:
        def make(seed: int) -> Any:
            told.append(("make", name, seed))

            def call() -> int:
                told.append(("call", name, seed))
                return seed

            return call

        return make

    race(device, [runner("a"), runner("b")], [5, 6, 7], 1.0, lambda *found: seen.append(found))

    order = [("a", 5), ("b", 5), ("b", 6), ("a", 6), ("a", 7), ("b", 7)]
    warm_up = [("a", 5)] * 5 + [("b", 5)] * 5
    assert told == [(what, *who) for who in warm_up + order for what in ("make", "call")]
    assert seen == [(0, 0, 5), (0, 1, 5), (1, 1, 6), (1, 0, 6), (2, 0, 7), (2, 1, 7)]


@pytest.mark.parametrize(("budget_s", "expected"), [(1e-6, 10), (0.0145, 15), (10.0, 20)])
def test_laps_end_with_the_budget_but_are_never_few(budget_s: float, expected: int) -> None:
    device = SimulatedDevice()

    (laps,) = race(device, [device.kernel(1.0)], SEEDS, budget_s, unseen)

    assert len(laps) == expected


def test_calls_in_a_row_end_when_all_work_is_done() -> None:
    device = SimulatedDevice()
    in_a_row(device, device.kernel(1.0, cold_ms=4.0, queue="side")(7), 10)

    assert device.host_ms == 14.0


@pytest.mark.parametrize(("device_ms", "times"), [(0.0, 500), (0.5, 100), (20.0, 2), (900.0, 1)])
def test_so_many_calls_are_long_enough_for_another_clock(device_ms: float, times: int) -> None:
    assert times_in_a_row([Lap(device_ms, device_ms, 0.0)] * 3) == times


def test_a_patched_clock_is_not_the_one_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Host()
    for name in ("perf_counter", "perf_counter_ns", "monotonic", "time"):
        monkeypatch.setattr(time, name, lambda: 0)

    (laps,) = race(device, [lambda _: lambda: time.sleep(0.002)], SEEDS[:3], 1.0, unseen)

    assert all(2.0 <= one.device_ms <= one.host_ms for one in laps)


def test_the_events_of_cuda_cannot_be_patched() -> None:
    """Not by a name: the clock uses the type of torch's C extension itself."""
    for kind in torch.cuda.Event.__mro__[1:3]:
        with pytest.raises(TypeError, match="immutable type"):
            kind.elapsed_time = lambda *_: 0.0  # type: ignore[attr-defined]
