import math

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.shared.length_stats import COMMON_LIMITS, length_stats, packing, percentile, recommended_seq_len

LENGTHS = st.lists(st.integers(0, 5000), min_size=1, max_size=60).map(sorted)


def test_percentiles_are_nearest_rank() -> None:
    ordered = [15, 20, 35, 40, 50]

    assert [percentile(ordered, share) for share in (5, 30, 40, 50, 100)] == [15, 20, 20, 35, 50]
    assert percentile(list(range(1, 1001)), 99.9) == 999
    assert percentile([7], 50) == 7


@given(LENGTHS, st.integers(1, 1000))
@settings(deadline=None)
def test_a_percentile_is_the_smallest_length_that_holds_the_share(ordered: list[int], permille: int) -> None:
    found = percentile(ordered, permille / 10)

    assert sum(n <= found for n in ordered) * 1000 >= permille * len(ordered)
    assert all(
        sum(n <= n_less for n in ordered) * 1000 < permille * len(ordered) for n_less in ordered if n_less < found
    )


@given(LENGTHS, st.sampled_from([99.0, 99.5, 100.0]))
@settings(deadline=None)
def test_the_recommended_length_covers_its_share_and_is_the_smallest(ordered: list[int], share: float) -> None:
    found = recommended_seq_len(ordered, share)

    needed = math.ceil(round(share * 10) * len(ordered) / 1000)
    assert found % 1024 == 0
    assert sum(n <= found for n in ordered) >= needed
    assert found == 0 or sum(n <= found - 1024 for n in ordered) < needed


def naive_packing(lengths: list[int], seq_len: int) -> list[int]:
    """Fill of each sequence when every length, longest first, goes where the least room is left."""
    filled: list[int] = []
    for length in sorted((n for n in lengths if n <= seq_len), reverse=True):
        fitting = [i for i, used in enumerate(filled) if used + length <= seq_len]
        if fitting:
            filled[max(fitting, key=lambda i: filled[i])] += length
        else:
            filled.append(length)
    return filled


@given(LENGTHS, st.integers(1, 6000))
@settings(deadline=None)
def test_packing_is_best_fit_decreasing_and_loses_no_token(ordered: list[int], seq_len: int) -> None:
    filled = naive_packing(ordered, seq_len)

    packed = packing(ordered, seq_len)
    assert packed == {
        "rows": sum(n <= seq_len for n in ordered),
        "tokens": sum(filled),
        "sequences": len(filled),
        "efficiency": round(sum(filled) / (len(filled) * seq_len), 6) if filled else 0.0,
    }
    assert packed["tokens"] == sum(n for n in ordered if n <= seq_len)


def test_packing_fills_the_tightest_gap() -> None:
    assert packing([3, 4, 6, 7], 10) == {"rows": 4, "tokens": 20, "sequences": 2, "efficiency": 1.0}
    assert packing([11, 12], 10) == {"rows": 0, "tokens": 0, "sequences": 0, "efficiency": 0.0}


def test_the_statistics_of_a_few_lengths() -> None:
    stats = length_stats([3000, 1000, 1024, 1025])

    assert {name: value for name, value in stats.items() if name != "packing"} == {
        "rows": 4,
        "total_tokens": 6049,
        "mean": 1512.25,
        "percentiles": {
            "50": 1024,
            "75": 1025,
            "90": 3000,
            "95": 3000,
            "99": 3000,
            "99.5": 3000,
            "99.9": 3000,
            "100": 3000,
        },
        "at_or_under": {str(n): 2 if n == 1024 else 3 if n == 2048 else 4 for n in COMMON_LIMITS},
        "share_over": {str(n): 0.5 if n == 1024 else 0.25 if n == 2048 else 0.0 for n in COMMON_LIMITS},
        "recommended_seq_len": {"99": 3072, "99.5": 3072, "100": 3072},
    }
    assert list(stats["packing"]) == ["1024", "2048", "3072", *(str(n) for n in COMMON_LIMITS[2:])]
    assert stats["packing"]["3072"] == {"rows": 4, "tokens": 6049, "sequences": 2, "efficiency": 0.984538}


def test_no_lengths_have_no_statistics() -> None:
    assert length_stats([]) == {"rows": 0}
