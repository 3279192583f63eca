import math
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stages.filter_reward import Params, drop_reason, run
from stages.shared.accounting import account
from stages.shared.kernels.flags import Flag
from stages.shared.stage import read_section
from tests.stages import tables

LENIENT = Params(cutoff=0.85, drop_flags=[], require_verdict="none")
STRICT = Params(cutoff=0.85, drop_flags=["in_place_input", "torch_fallback"], require_verdict="ok")
GOOD = {"reward": 0.9, "has_answer": True, "verdict": "ok", "flags": []}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, None),
        ({"reward": None}, "no_reward"),
        ({"reward": math.nan}, "no_reward"),
        ({"reward": 0.2}, "low_reward"),
        ({"reward": 0.85}, "low_reward"),
        ({"reward": math.nextafter(0.85, 1)}, None),
        ({"reward": -1.0}, "low_reward"),
        ({"has_answer": False}, "no_answer"),
        ({"verdict": "wrong"}, "verdict"),
        ({"verdict": "unknown"}, "verdict"),
        ({"flags": ["torch_fallback"]}, "flag_torch_fallback"),
        ({"flags": ["no_kernel"]}, None),
    ],
)
def test_each_reason_to_drop_a_row(row: tables.Row, reason: str | None) -> None:
    assert drop_reason(GOOD | row, STRICT) == reason


def test_the_first_reason_counts_and_of_flags_the_first_of_the_knob() -> None:
    row = {"reward": 0.9, "has_answer": False, "verdict": "wrong", "flags": ["torch_fallback", "in_place_input"]}

    assert drop_reason(row | {"reward": 0.1}, STRICT) == "low_reward"
    assert drop_reason(row, STRICT) == "no_answer"
    assert drop_reason(row | {"has_answer": True}, STRICT) == "verdict"
    assert drop_reason(row | {"has_answer": True, "verdict": "ok"}, STRICT) == "flag_in_place_input"


@pytest.mark.parametrize(
    ("required", "kept"), [("none", ["ok", "unknown", "wrong"]), ("not_wrong", ["ok", "unknown"]), ("ok", ["ok"])]
)
def test_verdicts_that_are_required(required: str, kept: list[str]) -> None:
    params = LENIENT.model_copy(update={"require_verdict": required})

    assert [v for v in ("ok", "unknown", "wrong") if drop_reason(GOOD | {"verdict": v}, params) is None] == kept


def test_run_writes_every_row_with_its_reason_and_counts_flags_above_the_cutoff(tmp_path: Path) -> None:
    files = tables.write(
        tmp_path,
        records=[
            tables.record("a", reward=0.9),
            tables.record("b", reward=None),
            tables.record("c", reward=0.5),
            tables.record("d", reward=2.0, answer=None, answer_format=None),
            tables.record("e", reward=1.2),
            tables.record("f", reward=1.5),
        ],
        verdicts=[
            {"row_id": "a", "verdict": "ok", "flags": ["no_kernel"]},
            {"row_id": "b", "verdict": "ok", "flags": ["no_kernel"]},
            {"row_id": "c", "verdict": "ok", "flags": ["in_place_input"]},
            {"row_id": "d", "verdict": "wrong", "flags": ["no_entry_point"]},
            {"row_id": "e", "verdict": "ok", "flags": ["in_place_input", "no_kernel"]},
            {"row_id": "f", "verdict": "ok", "flags": []},
        ],
    )

    metrics = run(STRICT, **files, kept=tmp_path / "kept.parquet")

    assert tables.rows(tmp_path / "kept.parquet") == [
        {"row_id": "a", "reward": 0.9, "kept": True, "drop_reason": None},
        {"row_id": "b", "reward": None, "kept": False, "drop_reason": "no_reward"},
        {"row_id": "c", "reward": 0.5, "kept": False, "drop_reason": "low_reward"},
        {"row_id": "d", "reward": 2.0, "kept": False, "drop_reason": "no_answer"},
        {"row_id": "e", "reward": 1.2, "kept": False, "drop_reason": "flag_in_place_input"},
        {"row_id": "f", "reward": 1.5, "kept": True, "drop_reason": None},
    ]
    assert metrics == {
        "rows_in": 6,
        "kept": 2,
        "dropped_flag_in_place_input": 1,
        "dropped_low_reward": 1,
        "dropped_no_answer": 1,
        "dropped_no_reward": 1,
        "flag_above_cutoff": {"no_kernel": 2, "no_entry_point": 1, "in_place_input": 1},
        "reward_mean": 1.2,
        "reward_min": 0.9,
        "reward_max": 1.5,
    }


def test_a_run_that_keeps_nothing_has_no_mean(tmp_path: Path) -> None:
    files = tables.write(
        tmp_path,
        records=[tables.record("a", reward=0.1)],
        verdicts=[{"row_id": "a", "verdict": "ok", "flags": []}],
    )

    assert run(LENIENT, **files, kept=tmp_path / "kept.parquet") == {
        "rows_in": 1,
        "kept": 0,
        "dropped_low_reward": 1,
        "flag_above_cutoff": {},
        "reward_mean": None,
        "reward_min": None,
        "reward_max": None,
    }


def test_verdicts_of_other_records_are_refused(tmp_path: Path) -> None:
    files = tables.write(tmp_path, records=[tables.record("a")], verdicts=[{"row_id": "b", "verdict": "ok"}])

    with pytest.raises(AssertionError, match="records and verdicts: the keys differ"):
        run(LENIENT, **files, kept=tmp_path / "kept.parquet")
    assert not (tmp_path / "kept.parquet").exists()


@given(st.lists(st.tuples(st.none() | st.floats(-1, 3), st.booleans(), st.sampled_from(["ok", "unknown", "wrong"]))))
def test_every_row_is_kept_or_dropped_under_a_name(rows: list[tuple[float | None, bool, str]]) -> None:
    reasons = [
        drop_reason({"reward": reward, "has_answer": answer, "verdict": verdict, "flags": []}, STRICT)
        for reward, answer, verdict in rows
    ]

    counted = account(reasons)
    assert counted["rows_in"] == counted["kept"] + sum(n for name, n in counted.items() if name.startswith("dropped_"))
    assert counted["kept"] == sum(r is not None and r > 0.85 and a and v == "ok" for r, a, v in rows)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"cutoff": "high"}, "filter_reward.cutoff: Input should be a valid number (got 'high')"),
        ({"cutoff": True}, "filter_reward.cutoff: Input should be a valid number (got True)"),
        ({"cutoff": math.nan}, "filter_reward.cutoff: Input should be a finite number (got nan)"),
        (
            {"require_verdict": "right"},
            "filter_reward.require_verdict: Input should be 'none', 'not_wrong' or 'ok' (got 'right')",
        ),
        ({"drop_flags": "crash"}, "filter_reward.drop_flags: Input should be a valid list (got 'crash')"),
    ],
)
def test_a_wrong_knob_is_named(tmp_path: Path, knobs: tables.Row, message: str) -> None:
    assert tables.knob_message(tmp_path, "filter_reward", Params, LENIENT.model_dump() | knobs) == message


@pytest.mark.parametrize("flag", get_args(Flag))
def test_every_flag_can_drop_rows_under_its_name(tmp_path: Path, flag: str) -> None:
    knobs = LENIENT.model_dump() | {"drop_flags": [flag]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"filter_reward": knobs}))
    params = read_section("filter_reward", Params, tmp_path / "params.yaml")

    assert drop_reason(GOOD | {"flags": ["no_kernel", flag]}, params) == f"flag_{flag}"
    assert drop_reason(GOOD, params) is None


def test_a_flag_outside_the_vocabulary_is_refused(tmp_path: Path) -> None:
    knobs = LENIENT.model_dump() | {"drop_flags": ["crash", "slow"]}
    *most, last = (repr(flag) for flag in get_args(Flag))

    message = tables.knob_message(tmp_path, "filter_reward", Params, knobs)

    assert message == f"filter_reward.drop_flags.1: Input should be {', '.join(most)} or {last} (got 'slow')"


def test_the_flags_are_those_of_the_design() -> None:
    assert get_args(Flag) == (
        *("unparsed", "no_entry_point", "no_kernel", "no_launch", "decoy_launch", "torch_fallback"),
        *("exception_fallback", "in_place_input", "cached_output", "uninitialised_memory", "zero_reference"),
        *("constant_reference", "training_only_kernel", "shape_specialised", "shape_rank", "patched_checker"),
        *("forged_exit", "crash", "timeout"),
    )
