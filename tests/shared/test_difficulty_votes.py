import pytest

from stages.shared.difficulty_votes import agreement, judge_difficulty, majority, parse_difficulty


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("<difficulty>low</difficulty>", "low"),
        ("It fuses.\n<Difficulty> HIGH\n</Difficulty>", "high"),
        ("<difficulty>low</difficulty> so <difficulty>low</difficulty>", "low"),
        ('{"difficulty": "medium"}', "medium"),
        ("<difficulty>low</difficulty> or <difficulty>high</difficulty>", None),
        ("<difficulty>low, medium or high</difficulty>", None),
        ("<difficulty>hard</difficulty>", None),
        ("<difficulty>low", None),
        ("low", None),
        ("", None),
        ('{"difficulty": "hard"}', None),
        ('{"difficulty": ["low"]}', None),
        ('{"difficulty": null}', None),
        ('{"difficulty": "low", "why": "?"}', None),
        ('["low"]', None),
        ("7" * 5000, None),
        ("[" * 100_000, None),
    ],
)
def test_one_level_is_read_strictly(text: str, level: str | None) -> None:
    assert parse_difficulty(text) == level
    assert (judge_difficulty(text) is None) == (level is not None)


@pytest.mark.parametrize(
    ("votes", "chosen"),
    [
        (["high"], ("high", 1.0)),
        (["low", "high", "low"], ("low", 0.666667)),
        (["low", "high"], ("low", 0.5)),
        (["low", "medium", "high"], ("medium", 0.333333)),
        (["high", "high", "medium", "medium", "low"], ("medium", 0.4)),
        (["high", "high", "low", "low", "medium"], ("low", 0.4)),
        (["medium", "high"], ("medium", 0.5)),
    ],
)
def test_the_majority_counts_and_ties_go_to_the_middle_then_down(votes: list[str], chosen: tuple[str, float]) -> None:
    assert majority(votes) == chosen
    assert majority(votes[::-1]) == chosen


def test_kappa_is_what_cohen_computes_by_hand() -> None:
    """Of 10 rows 7 agree; frequencies 4, 3, 3 and 5, 3, 2 of 10 give 0.2 + 0.09 + 0.06 = 0.35 by chance."""
    pairs = [("low", "low")] * 4 + [("medium", "medium")] * 2 + [("medium", "high")]
    pairs += [("high", "low"), ("high", "medium"), ("high", "high")]

    assert agreement(pairs) == {
        "rows": 10,
        "confusion": {
            "high/high": 1,
            "high/low": 1,
            "high/medium": 1,
            "low/low": 4,
            "medium/high": 1,
            "medium/medium": 2,
        },
        "observed": 0.7,
        "kappa": round((0.7 - 0.35) / 0.65, 6),
    }


def test_kappa_is_undefined_where_raters_know_one_level_and_nothing_is_compared_without_rows() -> None:
    assert agreement([("low", "low")] * 3)["kappa"] is None
    assert agreement([("low", "high")] * 3)["kappa"] == 0.0
    assert agreement([]) == {"rows": 0}
