from pathlib import Path

import pytest

from stages.select import Params, drop_not_unique, drop_repeats, own_reason
from stages.shared.datasets.variants import Variants
from tests.stages import tables

PARAMS = Params(drop_contaminated=True, drop_repeats=True, require_reasoning=False, licenses=[], max_gate_failures=0)
STRICT = PARAMS.model_copy(update={"require_reasoning": True, "licenses": ["MIT", "Apache-2.0"]})
GOOD: tables.Row = {
    "drop_reason": None,
    "contaminated": False,
    "difficulty": "low",
    "gate": "ok",
    "licenses": ["MIT"],
    "split": "train",
}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, None),
        ({"drop_reason": "low_reward"}, "low_reward"),
        ({"contaminated": True}, "contaminated"),
        ({"difficulty": None}, "unrated"),
        ({"gate": "doubled_answer"}, "gate"),
        ({"gate": "no_reasoning"}, "no_reasoning"),
        ({"licenses": []}, "licence"),
        ({"licenses": None}, "licence"),
        ({"licenses": ["MIT", "GPL-3.0"]}, "licence"),
        ({"licenses": ["Apache-2.0", "MIT"]}, None),
        ({"split": "excluded"}, "excluded_group"),
    ],
)
def test_each_reason_to_drop_a_row(row: tables.Row, reason: str | None) -> None:
    assert own_reason(GOOD | row, STRICT) == reason


def test_the_first_reason_counts() -> None:
    reasons = ["low_reward", "contaminated", "unrated", "gate", "licence", "excluded_group", None]
    bad = {"drop_reason": "low_reward", "contaminated": True, "difficulty": None, "gate": "prompt_changes"}
    rows = [GOOD | bad | {"licenses": ["GPL-3.0"], "split": "excluded"}]
    for name, value in GOOD.items():
        rows.append(rows[-1] | {name: value})

    assert [own_reason(row, STRICT) for row in rows] == reasons


def test_knobs_switch_reasons_off() -> None:
    lenient = PARAMS.model_copy(update={"drop_contaminated": False})
    row = GOOD | {"contaminated": True, "gate": "no_reasoning", "licenses": []}

    assert own_reason(row, lenient) is None


def test_of_repeats_the_best_reward_stays_and_the_first_of_a_tie() -> None:
    rows: list[tables.Row] = [
        {"row_id": "a", "repeat_of": None, "reward": 1.0},
        {"row_id": "b", "repeat_of": "a", "reward": 1.5},
        {"row_id": "c", "repeat_of": "a", "reward": 1.5},
        {"row_id": "d", "repeat_of": "a", "reward": 2.0},
        {"row_id": "e", "repeat_of": None, "reward": 0.9},
    ]

    assert drop_repeats(rows, [None, None, None, "gate", None]) == ["repeat", None, "repeat", "gate", None]


def test_the_best_rank_that_stays_takes_the_place_of_the_winner() -> None:
    rows = [{"key": "x", "rank": 2}, {"key": "x", "rank": 1}, {"key": "x", "rank": 3}, {"key": "y", "rank": 1}]

    assert drop_not_unique(rows, [None, None, None, None]) == ["not_unique", None, "not_unique", None]
    assert drop_not_unique(rows, [None, "gate", None, "gate"]) == [None, "gate", "not_unique", "gate"]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"max_gate_failures": -1}, "max_gate_failures: Input should be greater than or equal to 0 (got -1)"),
        ({"licenses": "MIT"}, "licenses: Input should be a valid list (got 'MIT')"),
        ({"drop_repeats": 1}, "drop_repeats: Input should be a valid boolean (got 1)"),
    ],
)
def test_a_wrong_knob_is_named(tmp_path: Path, knobs: tables.Row, message: str) -> None:
    found = tables.knob_message(tmp_path, "select", Params, PARAMS.model_dump() | knobs)

    assert found == f"select.{message}"


def test_a_wrong_variant_is_named(tmp_path: Path) -> None:
    message = tables.knob_message(tmp_path, "variants", Variants, {"best": {"rows": "all", "reasoning": True}})

    assert message == "variants.best.rows: Input should be 'kept' or 'unique' (got 'all')"
