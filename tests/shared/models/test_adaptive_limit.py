from stages.shared.models.adaptive_limit import AdaptiveLimit


def answer(limit: AdaptiveLimit, now: float, n: int) -> None:
    for _ in range(n):
        limit.succeeded(now)


def fill(limit: AdaptiveLimit, now: float) -> int:
    """Send as many requests as it takes; returns how many are in flight."""
    while limit.free(now):
        limit.in_flight += 1
    return limit.in_flight


def test_it_starts_below_the_ceiling_and_grows_fourfold_per_round_trip() -> None:
    limit = AdaptiveLimit(1000)

    assert (fill(limit, 0.0), AdaptiveLimit(10).limit) == (64, 10.0)
    answer(limit, 0.1, 63)
    assert limit.limit == 64
    answer(limit, 0.1, 1)
    assert limit.limit == 256
    answer(limit, 0.2, 256)
    answer(limit, 0.3, 1000)
    assert limit.limit == 1000


def test_a_burst_of_refusals_ends_one_below_what_the_server_takes() -> None:
    """A server with 40 places refuses 24 of 64."""
    limit = AdaptiveLimit(64)
    fill(limit, 0.0)

    for _ in range(24):
        limit.refused(0.5, 0.0, None)
        limit.in_flight -= 1

    assert limit.limit == 39
    assert not limit.free(0.5)
    limit.in_flight -= 2
    assert limit.free(0.5)


def test_no_refusal_shrinks_it_to_nothing() -> None:
    limit = AdaptiveLimit(4)
    for i in range(50):
        limit.refused(float(i), float(i) - 0.5, None)

    assert limit.limit == 1
    assert limit.free(100.0)


def test_nothing_is_sent_while_the_server_wants_to_be_left_alone() -> None:
    limit = AdaptiveLimit(4)

    limit.refused(10.0, 9.0, 5.0)
    limit.refused(10.0, 9.0, 2.0)

    assert [limit.free(now) for now in (10.0, 14.9, 15.0)] == [False, False, True]


def test_it_probes_after_a_pause_that_doubles_and_speeds_up_when_probes_succeed() -> None:
    limit = AdaptiveLimit(1000)
    fill(limit, 0.0)
    limit.refused(0.0, -1.0, None)
    level = limit.limit
    answer(limit, 4.9, 200)
    assert limit.limit == level == 62

    grown = []
    for _ in range(3):
        answer(limit, 5.0, int(limit.limit))
        grown.append(limit.limit)
    assert grown == [63, 65, 69]

    limit.in_flight = 69
    limit.refused(6.0, 5.5, None)
    answer(limit, 15.9, 200)
    assert limit.limit == 67
    answer(limit, 16.0, 67)
    assert limit.limit == 68


def test_a_server_that_grew_is_filled_again() -> None:
    limit = AdaptiveLimit(512)
    limit.in_flight = 64
    limit.refused(0.0, -1.0, None)

    round_trips = 0
    while limit.limit < 512:
        answer(limit, 10.0, int(limit.limit))
        round_trips += 1

    assert round_trips < 12
