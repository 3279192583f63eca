from typing import Any, get_args

import pytest
import yaml

from stages import verify
from stages.rollout.rollout_params import Rollout
from stages.shared.cards import recipe
from tests.imports import ROOT

DEFAULT: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "params.yaml").read_text())
FOUND = {"problems": {"mini": 8, "big": 1250}}


def knobs(**sections: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The committed knobs with others for some."""
    return DEFAULT | {name: DEFAULT[name] | values for name, values in sections.items()}


def test_every_mode_of_verify_has_words() -> None:
    assert set(get_args(verify.Params.model_fields["mode"].annotation)) <= recipe.MODES.keys()


def test_every_formula_of_a_reward_has_words() -> None:
    assert set(get_args(Rollout.model_fields["formula"].annotation)) == recipe.FORMULAS.keys()


def test_reading_tells_who_made_and_how_were_scored_what_step_0_made() -> None:
    made = {"rows_in": 3, "model": {"a/b": 2, "c": 1}, "scoring": {"cuda, speedup": 1, "interpret, coverage": 2}}

    text = recipe.read_rollouts(DEFAULT, made)
    assert "step 0 of this pipeline made those by the model `a/b` (2), `c` (1). It scored 1 in mode `cuda`:" in text
    assert "on a GPU. Their reward `speedup` of a right answer is 1, and more where it is faster" in text
    assert "It scored 2 in mode `interpret`: each answer is run against its PyTorch module on a CPU" in text


def test_reading_tells_the_source_without_a_path_of_the_machine() -> None:
    own = knobs(ingest={"base": "/home/someone/own", "limit": 5}, ingest_modules={"path": "data/hub/kernelbook"})

    text = recipe.read_rollouts(own, {"rows_in": 1234})
    assert text.startswith("`ingest` read 1,234 rollouts from `own`, the first 5 only.")
    assert "only" not in recipe.read_rollouts(DEFAULT, {"rows_in": 1})
    assert recipe.read_modules(own, {"rows_in": 1800, "kept": 1700}) == (
        "`ingest_modules` read 1,800 rows from `data/hub/kernelbook`: 1,700 modules with a code or name of their own."
    )


@pytest.mark.parametrize(
    ("section", "text"),
    [
        (
            {"mode": "static", "min_reward": 0.0},
            "mode `static`: the syntax tree of each answer is read; nothing is run.",
        ),
        (
            {"mode": "interpret", "min_reward": 0.5},
            "and its kernels are compiled for GPUs. Rewards below 0.5 are not looked at.",
        ),
        ({"mode": "cuda", "min_reward": 0.0}, "run and timed against its PyTorch module on a GPU."),
    ],
)
def test_verification(section: dict[str, Any], text: str) -> None:
    assert recipe.verified(knobs(verify=section)).endswith(text)


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({}, "`filter_reward` keeps rewards strictly above 0.85."),
        (
            {"cutoff": 1.0, "drop_flags": ["no_launch", "crash"]},
            "`filter_reward` keeps rewards strictly above 1, drops what `verify` flagged as `no_launch`, `crash`.",
        ),
        (
            {"require_verdict": "ok"},
            "`filter_reward` keeps rewards strictly above 0.85, drops answers whose verdict is not `ok`.",
        ),
        (
            {"require_verdict": "not_wrong"},
            "`filter_reward` keeps rewards strictly above 0.85, drops answers whose verdict is `wrong`.",
        ),
    ],
)
def test_filtering(section: dict[str, Any], text: str) -> None:
    assert recipe.filtered(knobs(filter_reward=section)) == text


def test_rating_and_writing_name_the_model_only_where_it_was_asked() -> None:
    asked = {"rater": "llm", "model": "a/b`c", "votes": 3, "show_solution": True}

    assert "model" not in recipe.rated(DEFAULT)
    assert recipe.rated(knobs(rate_difficulty=asked)) == (
        "`rate_difficulty`: the model `a/b'c` (provider `prime`) is shown the module and the answer, and asked for "
        "low, medium or high 3 times per row, and the majority counts."
    )
    assert "the module, not the answer, and asked for low, medium or high once per row." in recipe.rated(
        knobs(rate_difficulty={"rater": "llm"})
    )
    assert "kimi" not in recipe.specified(DEFAULT)
    assert "`moonshotai/kimi-k2-0905` (provider `prime`)" in recipe.specified(knobs(write_specs={"writer": "llm"}))


def test_benchmarks() -> None:
    assert "with `big` (1,250 problems), `mini` (8 problems) from `data/sample/benchmark`" in recipe.compared(
        DEFAULT, FOUND
    )
    assert recipe.compared(DEFAULT, {"problems": {}}) == "`decontaminate` had no benchmark to compare with."


def test_lengths_and_splits() -> None:
    assert "the chat template of `data/sample/tokenizer`" in recipe.measured(DEFAULT)
    assert recipe.split(DEFAULT).endswith(
        "and 0.1 of the groups go to validation, by a hash of the group and the seed 0."
    )
    assert recipe.split(knobs(split={"pins": "data/input/splits.parquet"})).endswith(
        "Groups of `data/input/splits.parquet` stay where they were."
    )


def test_selection_says_what_this_version_drops() -> None:
    always = "`select` drops rows that have no difficulty or that the chat template would spoil"

    assert recipe.selected(DEFAULT, "unique") == (
        f"{always}, rows whose module stands in a benchmark, all but the best of the copies of a content. It keeps the "
        "best rewarded row of each `module_name`."
    )
    others = {"drop_contaminated": False, "drop_repeats": False, "require_reasoning": True, "licenses": ["MIT", "ISC"]}
    assert recipe.selected(knobs(select=others), "kept") == (
        f"{always}, rows without reasoning, rows with no licence or another than `MIT`, `ISC`."
    )


def test_the_table_of_knobs_has_those_that_had_an_effect() -> None:
    verify = {"mode": "static", "min_reward": 0.5, "timeout_s": 60.0}
    sections = {"verify": verify, **{name: DEFAULT[name] for name in ("rate_difficulty", "write_specs", "split")}}

    lines = recipe.knobs_table(sections).splitlines()[2:]
    assert lines == [
        "| verify.mode | static |",
        "| verify.min_reward | 0.5 |",
        "| rate_difficulty.rater | static |",
        "| write_specs.writer | template |",
        "| split.validation_fraction | 0.1 |",
        "| split.seed | 0 |",
        "| split.pins | data/sample/none |",
    ]
    asked = sections | {
        "verify": verify | {"mode": "interpret"},
        "rate_difficulty": DEFAULT["rate_difficulty"] | {"rater": "llm"},
        "write_specs": DEFAULT["write_specs"] | {"writer": "llm"},
    }
    assert len(recipe.knobs_table(asked).splitlines()[2:]) == sum(map(len, asked.values()))


def test_only_the_name_of_an_absolute_path_is_told() -> None:
    assert recipe.knobs_table({"ingest": {"base": "/home/someone/rollouts", "limit": None}}).splitlines()[2:] == [
        "| ingest.base | rollouts |",
        "| ingest.limit | none |",
    ]
