import re

import pytest

from stages.shared.cards.drop_reasons import REASONS, funnel_text
from tests.imports import ROOT

INGESTED = {"rows_in": 10, "kept": 9, "dropped_rejected": 1, "answer_format": {"fence": 9}}
SELECTED = {
    "rows_in": 9,
    "kept": 2,
    "dropped_not_unique": 1,
    "dropped_contaminated": 1,
    "dropped_flag_no_launch": 1,
    "dropped_flag_crash": 1,
    "dropped_low_reward": 3,
    "dropped_gate": 0,
}


def test_the_funnel_has_every_reason_in_the_order_in_which_it_is_looked_for() -> None:
    lines = funnel_text([INGESTED, SELECTED], "rollouts", "ingest").splitlines()

    assert lines == [
        "|  | stage | meaning | dropped | left |",
        "| --- | --- | --- | ---: | ---: |",
        "| rollouts |  |  |  | 10 |",
        "| rejected | ingest | not readable as what the source should hold | 1 | 9 |",
        "| low_reward | filter_reward | the reward is not above the cutoff | 3 | 6 |",
        "| flag_crash | filter_reward | one of the flags that `drop_flags` names | 1 | 5 |",
        "| flag_no_launch | filter_reward | one of the flags that `drop_flags` names | 1 | 4 |",
        "| contaminated | select | the module stands in a benchmark | 1 | 3 |",
        "| not_unique | select | a better row of the same `dedupe.key` stays | 1 | 2 |",
        "| in this dataset |  |  |  | 2 |",
    ]


@pytest.mark.parametrize(
    "accounts",
    [
        [INGESTED, SELECTED | {"rows_in": 10}],
        [INGESTED | {"kept": 8}],
        [{"rows_in": 2, "kept": 1}],
    ],
)
def test_rows_that_are_not_accounted_for_are_refused(accounts: list[dict[str, int]]) -> None:
    with pytest.raises(AssertionError):
        funnel_text(accounts, "rollouts", "ingest")


def test_every_reason_that_a_stage_gives_has_a_meaning() -> None:
    for stage, n in {"filter_reward": 4, "select": 8}.items():
        source = (ROOT / "stages" / f"{stage}.py").read_text()
        given = set(re.findall(r'(?:return|else) "(\w+)"', source))

        assert {(stage, reason) for reason in given} == {(stage, reason) for reason in given & REASONS.keys()}
        assert len(given) == n
        assert {REASONS[reason][0] for reason in given} == {stage}
