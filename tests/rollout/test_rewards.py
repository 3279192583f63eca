import pytest

from stages.rollout.rewards import reward
from tests.shared.kernels.written_answers import right


@pytest.mark.parametrize(
    ("operations", "flags", "expected"),
    [
        (0, [], 1.0),
        (1, [], 0.95),
        (3, [], 0.85),
        (0, ["in_place_input"], 0.9),
        (0, ["shape_specialised", "exception_fallback", "in_place_input"], 0.7),
        (2, ["torch_fallback", "no_launch", "decoy_launch", "shape_rank", "exception_fallback"], 0.8),
        (19, [], 0.05),
        (25, [], 0.0),
    ],
)
def test_coverage_counts_what_is_left_to_torch(operations: int, flags: list[str], expected: float) -> None:
    assert reward(right(torch_ops=["sum"] * operations, flags=flags), "coverage") == expected


@pytest.mark.parametrize(("speedup", "expected"), [(0.2, 1.0), (1.0, 1.0), (1.5, 1.5), (2.1, 2.1), (50.0, 2.1)])
def test_speedup_is_bounded(speedup: float, expected: float) -> None:
    assert reward(right(speedup=speedup), "speedup") == pytest.approx(expected)


def test_a_wrong_answer_has_nothing_and_an_unknown_one_no_reward() -> None:
    wrong, unknown = right(verdict="wrong", speedup=9.0), right(verdict="unknown")

    assert [reward(wrong, "coverage"), reward(wrong, "speedup")] == [0.0, 0.0]
    assert [reward(unknown, "coverage"), reward(unknown, "speedup")] == [None, None]


def test_a_right_answer_that_was_not_timed_has_no_reward_by_its_speedup() -> None:
    assert reward(right(), "speedup") is None
    assert reward(right(), "coverage") == 1.0
