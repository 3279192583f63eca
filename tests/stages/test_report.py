import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.report import STAGES, difficulty_by_reward, funnel, histogram, length_bins, run
from tests.stages import tables

HOSTILE = '<script>alert("1")</script>&<b>'


def test_the_funnel_goes_from_all_rows_over_each_reason_to_the_kept() -> None:
    account = {"rows_in": 9, "kept": 5, "dropped_gate": 1, "dropped_low_reward": 3, "split": {"train": 5}}

    assert funnel({"all": account, "none": {"rows_in": 0, "kept": 0}}) == [
        {"dataset": "all", "step": "rows_in", "rows": 9},
        {"dataset": "all", "step": "gate", "rows": 1},
        {"dataset": "all", "step": "low_reward", "rows": 3},
        {"dataset": "all", "step": "kept", "rows": 5},
        {"dataset": "none", "step": "rows_in", "rows": 0},
        {"dataset": "none", "step": "kept", "rows": 0},
    ]


def test_a_reward_on_a_bound_belongs_to_the_bin_above_it() -> None:
    rewards = [0.85, 0.849, 0.0, -0.01, -0.05, None, 2.097, 0.86]

    assert histogram(rewards, [True, False, False, False, False, False, True, False]) == [
        {"reward": -0.05, "fate": "dropped", "rows": 2},
        {"reward": 0.0, "fate": "dropped", "rows": 1},
        {"reward": 0.8, "fate": "dropped", "rows": 1},
        {"reward": 0.85, "fate": "dropped", "rows": 1},
        {"reward": 0.85, "fate": "kept", "rows": 1},
        {"reward": 2.05, "fate": "kept", "rows": 1},
    ]


@given(st.lists(st.floats(-3, 3)))
def test_every_reward_is_in_the_bin_that_starts_at_or_below_it(rewards: list[float]) -> None:
    found = histogram([*rewards, None], [True] * (len(rewards) + 1))

    assert sum(item["rows"] for item in found) == len(rewards)
    for reward in rewards:
        (lower,) = [item["reward"] for item in histogram([reward], [True])]
        assert lower - 1e-9 <= reward < lower + 0.05


def test_lengths_are_binned_by_powers_of_two() -> None:
    assert length_bins([0, 1, 2, 3, 1024, 1025, 1500]) == [
        {"tokens_up_to": 1, "rows": 2},
        {"tokens_up_to": 2, "rows": 1},
        {"tokens_up_to": 4, "rows": 1},
        {"tokens_up_to": 1024, "rows": 1},
        {"tokens_up_to": 2048, "rows": 2},
    ]


def test_difficulty_is_shown_by_reward_also_where_there_is_none() -> None:
    levels = {"a": "low", "b": "high", "c": None, "d": "low"}

    assert difficulty_by_reward(levels, {"a": 0.9, "b": 1.2, "c": 1.0, "d": 0.94, "e": 0.1}) == [
        {"difficulty": "high", "reward": 1.2, "rows": 1},
        {"difficulty": "low", "reward": 0.9, "rows": 2},
        {"difficulty": "unrated", "reward": 1.0, "rows": 1},
    ]


class Cells(HTMLParser):
    """The texts of a page and the tags that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not any(name in {"src", "href"} for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data)


def report(folder: Path, **metrics: Any) -> tuple[Any, Cells]:
    """Run the stage over three rows; the metrics of stages that are not given have one number."""
    files = tables.write(
        folder,
        kept=[
            {"row_id": "a", "reward": 0.9, "kept": True},
            {"row_id": "b", "reward": 0.2, "kept": False},
            {"row_id": "c", "reward": 0.9, "kept": True},
        ],
        lengths=[{"row_id": row_id, "n_total_tokens": 700} for row_id in "abc"],
        difficulty=[{"row_id": "a", "difficulty": "low"}, {"row_id": "c", "difficulty": None}],
    )
    accounts: dict[str, Any] = {key: {"rows_in": 3, "kept": 0, "dropped_x": 3} for key in tables.VARIANTS.root}
    accounts["all"] = {"dropped_x": 1, "kept": 2, "rows_in": 3, "split": {"train": 2}}
    lengths: dict[str, Any] = {key: {"rows": 0} for key in tables.VARIANTS.root}
    lengths["all"] = {"rows": 2, "total_tokens": 1400, "recommended_seq_len": {"99": 1024, "100": 2048}}
    known: dict[str, Any] = {key: {"rows_in": 1234} for key in STAGES} | metrics
    known |= {"select": {"variants": accounts}, "recommend_seq_len": {"variants": lengths}}
    for name, values in known.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    paths = [folder / f"{name}.json" for name in STAGES]
    outs = {"page_folder": folder / "report", "plots": folder / "plots"}
    told = run(tables.VARIANTS, stage_metrics=paths, **files, **outs)
    cells = Cells()
    cells.feed((folder / "report" / "index.html").read_text(encoding="utf-8"))
    return told, cells


def test_run_writes_the_page_the_plots_and_the_numbers_that_experiments_are_compared_by(tmp_path: Path) -> None:
    metrics, cells = report(tmp_path, decontaminate={"problems": {"bench": 5}, "warning": None})

    start = cells.texts.index("Rows")
    assert cells.texts[start + 1 : start + 16] == [
        *("all", "best", "best-short"),
        *("rows_in", "3", "3", "3"),
        *("x", "1", "3", "3"),
        *("kept", "2", "0", "0"),
    ]
    start = cells.texts.index("decontaminate")
    assert cells.texts[start + 1 : start + 6] == ["metric", "value", "problems.bench", "5", "warning"]
    assert [text for text in cells.texts if text in STAGES] == list(STAGES)
    plots = {file.stem: json.loads(file.read_text()) for file in (tmp_path / "plots").iterdir()}
    assert len(plots.pop("funnel")) == 9
    assert plots == {
        "rewards": [
            {"reward": 0.2, "fate": "dropped", "rows": 1},
            {"reward": 0.9, "fate": "kept", "rows": 2},
        ],
        "lengths": [{"tokens_up_to": 1024, "rows": 3}],
        "difficulty": [
            {"difficulty": "low", "reward": 0.9, "rows": 1},
            {"difficulty": "unrated", "reward": 0.9, "rows": 1},
        ],
    }
    assert metrics == {
        "rows_in": 3,
        "kept": 3,
        "published": {"all": 2, "best": 0, "best-short": 0},
        "tokens": {"all": 1400, "best": 0, "best-short": 0},
        "seq_len_99": {"all": 1024, "best": None, "best-short": None},
    }


def test_text_of_others_is_shown_and_never_run(tmp_path: Path) -> None:
    _, plain = report(tmp_path)
    _, cells = report(tmp_path, decontaminate={"problems": {HOSTILE: HOSTILE}})

    start = cells.texts.index(f"problems.{HOSTILE}")
    assert cells.texts[start + 1] == HOSTILE
    assert cells.tags == plain.tags
    assert "script" not in cells.tags


def test_metrics_of_other_stages_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ingest.json").write_text("{}")
    nothing = tmp_path / "none"

    with pytest.raises(AssertionError, match=r"dvc.yaml passes the metrics of other stages than the report shows"):
        run(
            tables.VARIANTS,
            stage_metrics=[tmp_path / "ingest.json"],
            kept=nothing,
            lengths=nothing,
            difficulty=nothing,
            page_folder=nothing,
            plots=nothing,
        )
