from collections import Counter
from typing import Any

import pytest

from stages.shared.cards import limitations

FOUND = {"problems": {"mini": 8}, "contaminated": {"mini": 2}}

READ = {"kept": 10}
MADE = READ | {"model": {"maker/tiny-1": 10}, "scoring": {"interpret, coverage": 10}}
"""What `ingest` counted."""


def verify_mode(mode: str) -> dict[str, Any]:
    return {"verify": {"mode": mode}}


def test_without_a_run_nothing_is_said_of_verdicts_but_what_is_wrong() -> None:
    assert limitations.of_verdicts(verify_mode("static"), Counter({"unknown": 9, "wrong": 1}), READ) == [
        "No answer was run: that an answer is right is known from its reward alone.",
        "Wrong by their verdict, and here all the same: 1 row.",
    ]


def test_after_a_run_the_verdicts_leave_open_what_they_leave_open() -> None:
    assert limitations.of_verdicts(verify_mode("interpret"), Counter({"ok": 9, "unknown": 2}), READ) == [
        "Not verified (verdict `unknown`): 2 rows.",
        "The verdict `ok` was found on a few inputs of the recorded shapes; other shapes may differ.",
    ]
    assert limitations.of_verdicts(verify_mode("cuda"), Counter(), READ) == []


def test_rows_of_step_0_are_not_said_to_be_of_another_source_or_an_unknown_model() -> None:
    static = verify_mode("static")
    assert limitations.of_rewards(READ) == [limitations.SOURCE_REWARDS]
    assert limitations.of_models(READ) == [limitations.NOT_RECORDED]
    assert limitations.of_rewards(MADE) == [limitations.SCORED_REWARDS]
    assert limitations.of_models(MADE) == []
    assert limitations.of_verdicts(static, Counter({"unknown": 10}), MADE) == [
        "No answer was run again: that an answer is right is known from its reward alone."
    ]


def test_rows_of_step_0_among_others_are_told_apart() -> None:
    mixed = MADE | {"kept": 11}
    assert limitations.of_rewards(mixed) == [
        f"Rows whose reward step 0 of this pipeline made: 10. {limitations.SCORED_REWARDS}",
        f"Rows of other sources: 1. {limitations.SOURCE_REWARDS}",
    ]
    assert limitations.of_models(mixed) == [limitations.NOT_RECORDED]
    (verdicts,) = limitations.of_verdicts(verify_mode("static"), Counter(), mixed)
    assert verdicts.startswith("No answer was run, but those of step 0 for their reward: that an answer is right")


def test_ratings_and_specifications_by_rules_and_by_models() -> None:
    static, model = limitations.of_difficulty(Counter({"static": 3, "a|b": 1}))[::-1]
    assert static.startswith("The difficulty rated by static (3 rows) is a baseline")
    assert model == r"The difficulty rated by a\|b (1 row) is the opinion of that model; no person checked it."
    rules, written = limitations.of_writers(Counter({"template": 1, "x": 2}))
    assert rules.startswith("The specifications by template (1 row) are the syntax tree put into words by rules")
    assert written.startswith("The specifications by x (2 rows) are checked for the name of the class")


def test_near_duplicates_are_said_to_be_searched_only_where_some_were_found() -> None:
    assert limitations.of_groups({"code_hash": 5, "cluster_id": 5}) == [limitations.NO_NEAR_DUPLICATES]
    (searched,) = limitations.of_groups({"code_hash": 5, "cluster_id": 4})
    assert "similarity" in searched


@pytest.mark.parametrize(
    ("knobs", "found", "lines"),
    [
        ({}, {"problems": {}, "contaminated": {}}, ["The rows were not compared with any benchmark."]),
        (
            {"select": {"drop_contaminated": True}},
            FOUND,
            ["Only equal code counts as a problem of a benchmark (mini): rewritten problems are not found."],
        ),
        (
            {"select": {"drop_contaminated": False}},
            FOUND,
            [
                "Only equal code counts as a problem of a benchmark (mini): rewritten problems are not found.",
                "Modules that stand in a benchmark, and whose rows were not dropped: 2.",
            ],
        ),
    ],
)
def test_benchmarks(knobs: dict[str, Any], found: dict[str, Any], lines: list[str]) -> None:
    assert limitations.of_benchmarks(knobs, found) == lines


def test_what_holds_for_no_row_is_not_said() -> None:
    assert limitations.of_reasoning(10, 0) == limitations.of_licenses({("MIT",): 1}) == []
    assert limitations.of_flags(0) == limitations.of_copies(dropped=True) == []
    assert limitations.of_trial({"ingest": {"limit": None}}) == limitations.of_difficulty(Counter()) == []


def test_what_holds_for_some_rows_is_said_with_their_number() -> None:
    assert [
        *limitations.of_reasoning(1000, 7),
        *limitations.of_licenses({(): 1, ("MIT",): 1}),
        *limitations.of_flags(1),
        *limitations.of_trial({"ingest": {"limit": 5000}}),
        *limitations.of_copies(dropped=False),
    ] == [
        "Without reasoning, which their source does not have: 7 rows of 1,000.",
        "No licence is named for 1 row.",
        "Flagged by `verify`, and here all the same: 1 row.",
        "This is a trial: no more than the first 5,000 rollouts were read.",
        "Copies of the same content are not dropped.",
    ]
