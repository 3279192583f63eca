import re
from pathlib import Path
from typing import Any

import pytest

from stages.select import Params, run
from tests.stages import tables

PARAMS = Params(drop_contaminated=True, drop_repeats=True, require_reasoning=False, licenses=[], max_gate_failures=0)
GOOD: tables.Row = {
    "drop_reason": None,
    "contaminated": False,
    "difficulty": "low",
    "gate": "ok",
    "licenses": ["MIT"],
    "split": "train",
}
MODULES = {
    "m1": {"group_id": "g1", "split": "train", "contaminated": False},
    "m2": {"group_id": "g2", "split": "validation", "contaminated": False},
    "m3": {"group_id": "g3", "split": "train", "contaminated": True},
    "m4": {"group_id": "g4", "split": "excluded", "contaminated": False},
}


def inputs(folder: Path, rows: list[tables.Row]) -> dict[str, Path]:
    """The tables of rows of `MODULES`; each row tells what differs from a good row whose key is its module."""
    full: list[tables.Row] = [
        {"module_id": "m1", "repeat_of": None, "reward": 1.0, "rank": 1}
        | GOOD
        | {"key": row.get("module_id", "m1")}
        | row
        for row in rows
    ]
    kept = [row for row in full if row["drop_reason"] is None]
    return tables.write(
        folder,
        records=[
            tables.record(row["row_id"], **{name: row[name] for name in ("repeat_of", "module_id", "licenses")})
            for row in full
        ],
        kept=[
            {name: row[name] for name in ("row_id", "reward", "drop_reason")} | {"kept": row["drop_reason"] is None}
            for row in full
        ],
        difficulty=[{"row_id": row["row_id"], "difficulty": row["difficulty"]} for row in kept],
        unique=[{name: row[name] for name in ("row_id", "key", "rank")} for row in kept],
        lengths=[{"row_id": row["row_id"], "gate": row["gate"]} for row in full],
        clusters=[{"module_id": name, "group_id": module["group_id"]} for name, module in MODULES.items()],
        contamination=[{"module_id": name, "contaminated": m["contaminated"]} for name, m in MODULES.items()],
        splits=[{"group_id": module["group_id"], "split": module["split"]} for module in MODULES.values()],
    )


def selected(folder: Path, rows: list[tables.Row], params: Params = PARAMS) -> tuple[list[tables.Row], Any]:
    metrics = run(params, tables.VARIANTS, **inputs(folder, rows), selection=folder / "selection.parquet")
    return tables.rows(folder / "selection.parquet"), metrics


def test_run_decides_every_row_for_every_dataset(tmp_path: Path) -> None:
    rows, metrics = selected(
        tmp_path,
        [
            {"row_id": "low", "drop_reason": "low_reward", "gate": "missing_answer"},
            {"row_id": "winner", "licenses": ["GPL-3.0"]},
            {"row_id": "second", "rank": 2, "reward": 0.9},
            {"row_id": "copy", "rank": 3, "reward": 0.9, "repeat_of": "second"},
            {"row_id": "third", "rank": 4, "reward": 0.89},
            {"row_id": "other", "module_id": "m2"},
            {"row_id": "known", "module_id": "m3"},
            {"row_id": "torn", "module_id": "m4"},
        ],
        PARAMS.model_copy(update={"licenses": ["MIT"]}),
    )

    published = {"all": None, "best": None, "best-short": None}
    assert [{name: row[name] for name in ("row_id", "group_id", "split")} for row in rows] == [
        {"row_id": row_id, "group_id": group, "split": split}
        for row_id, group, split in (
            *((row_id, "g1", "train") for row_id in ("low", "winner", "second", "copy", "third")),
            ("other", "g2", "validation"),
            ("known", "g3", "train"),
            ("torn", "g4", "excluded"),
        )
    ]
    assert [{name: row[name] for name in published} for row in rows] == [
        dict.fromkeys(published, "low_reward"),
        dict.fromkeys(published, "licence"),
        published,
        dict.fromkeys(published, "repeat"),
        {"all": None, "best": "not_unique", "best-short": "not_unique"},
        published,
        dict.fromkeys(published, "contaminated"),
        dict.fromkeys(published, "excluded_group"),
    ]
    reasons = ("contaminated", "excluded_group", "licence", "low_reward", "repeat")
    dropped = {f"dropped_{reason}": 1 for reason in reasons}
    best = {"rows_in": 8, "kept": 2, **dropped, "dropped_not_unique": 1, "split": {"train": 1, "validation": 1}}
    assert metrics == {
        "rows_in": 8,
        "kept": 3,
        **dropped,
        "variants": {
            "all": {"rows_in": 8, "kept": 3, **dropped, "split": {"train": 2, "validation": 1}},
            "best": best,
            "best-short": best,
        },
        "replaced_winners": 1,
        "lost_winners": 2,
    }


def test_repeats_stay_where_the_knob_says_so(tmp_path: Path) -> None:
    rows = [{"row_id": "a", "rank": 1}, {"row_id": "b", "rank": 2, "repeat_of": "a"}]

    found, _ = selected(tmp_path, rows, PARAMS.model_copy(update={"drop_repeats": False}))

    assert [(row["all"], row["best"]) for row in found] == [(None, None), (None, "not_unique")]


def test_too_many_gate_failures_stop_with_one_message(tmp_path: Path) -> None:
    """Rows that are dropped for an earlier reason are no failures."""
    rows: list[tables.Row] = [
        {"row_id": "a", "gate": "missing_reasoning"},
        {"row_id": "b", "gate": "missing_reasoning"},
        {"row_id": "c", "gate": "missing_reasoning", "drop_reason": "low_reward"},
        {"row_id": "d", "gate": "missing_reasoning", "module_id": "m3"},
    ]
    message = (
        "2 kept rows would teach the wrong text, more than select.max_gate_failures = 1: {'missing_reasoning': 2}; "
        "does the chat template read completion.reasoning_key?"
    )

    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        selected(tmp_path, rows, PARAMS.model_copy(update={"max_gate_failures": 1}))
    assert not (tmp_path / "selection.parquet").exists()
    found, _ = selected(tmp_path, rows, PARAMS.model_copy(update={"max_gate_failures": 2}))
    assert [row["best"] for row in found] == ["gate", "gate", "low_reward", "contaminated"]
