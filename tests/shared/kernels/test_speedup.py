import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.shared.kernels.speedup import Belief, Claims, believe, cost_ms
from stages.shared.kernels.timing import Lap


def laps(*device_ms: float) -> list[Lap]:
    return [Lap(ms, ms + 0.01, 0.005) for ms in device_ms]


def claims(reference: list[Lap], answer: list[Lap], *, call_ms: float = 0.0) -> Claims:
    return Claims(reference, answer, 100, 100 * call_ms)


def test_the_speedup_is_the_median_ratio_of_the_laps() -> None:
    """A machine that gets three times slower half way, and one lap that something interrupted, change nothing."""
    reference, answer = laps(4.0, 4.0, 12.0, 12.0, 400.0), laps(2.0, 2.0, 6.0, 6.0, 6.0)

    assert believe(claims(reference, answer, call_ms=2.0), laps(12.0, 12.0, 12.0)) == Belief(2.0, tampered=False)


@pytest.mark.parametrize(
    ("lap", "cost"),
    [
        (Lap(1.0, 1.02, 0.01), 1.0),
        (Lap(0.004, 0.03, 0.01), 0.004),
        (Lap(0.1, 0.12, 5.0), 5.12),
        (Lap(0.0, 3.0, 0.0), 3.0),
    ],
    ids=["honest", "tiny", "other queue", "stopped clock"],
)
def test_work_that_the_events_do_not_see_is_paid_for(lap: Lap, cost: float) -> None:
    assert cost_ms(lap) == cost


def test_an_answer_that_slows_the_reference_beside_it_gains_nothing() -> None:
    found = believe(claims(laps(*[9.0] * 5), laps(*[1.0] * 5), call_ms=1.0), laps(*[1.1] * 5))

    assert found == Belief(1.1, tampered=True)


def test_claims_that_the_clock_of_the_parent_contradicts_are_replaced_by_it() -> None:
    found = believe(claims(laps(*[4.0] * 5), laps(*[0.1] * 5), call_ms=8.0), laps(*[4.0] * 5))

    assert found == Belief(0.5, tampered=True)


def test_a_difference_that_noise_can_explain_bounds_the_speedup_and_accuses_nobody() -> None:
    found = believe(claims(laps(*[4.0] * 5), laps(*[1.0] * 5), call_ms=2.0), laps(*[4.0] * 5))

    assert found == Belief(2.0, tampered=False)


NOTHING = claims(laps(1.0), laps(1.0), call_ms=1.0)


@pytest.mark.parametrize(
    ("made", "alone"),
    [
        (claims([], []), laps(1.0)),
        (claims(laps(1.0), []), laps(1.0)),
        (claims(laps(1.0, 1.0), laps(1.0)), laps(1.0)),
        (NOTHING, []),
        (Claims(laps(1.0), laps(1.0), 0, 5.0), laps(1.0)),
        (claims(laps(1.0), laps(-1.0)), laps(1.0)),
        (claims(laps(math.nan), laps(1.0)), laps(1.0)),
        (claims(laps(1.0), laps(math.inf)), laps(1.0)),
    ],
)
def test_claims_that_are_no_times_give_no_speedup(made: Claims, alone: list[Lap]) -> None:
    assert believe(made, alone) == Belief(None, tampered=True)


TIMES = st.lists(st.floats(0, 1e4), min_size=3, max_size=20)


@given(TIMES, TIMES, TIMES, st.floats(1e-3, 1e4))
def test_no_claim_makes_an_answer_faster_than_its_calls_in_a_row(
    reference: list[float], answer: list[float], alone: list[float], call_ms: float
) -> None:
    """Whatever a child says of laps: the reference alone and the parent's clock bound the speedup."""
    n = min(len(reference), len(answer))
    made = claims(laps(*reference[:n]), laps(*answer[:n]), call_ms=call_ms)
    found = believe(made, laps(*alone))

    assert found.speedup is not None
    assert 0 <= found.speedup <= 1.5 * statistics.median(alone) / max(call_ms, 1e-6) + 1e-4
