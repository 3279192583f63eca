from pathlib import Path

import pytest
import yaml

from stages.build_evals import run
from stages.shared.completion import CompletionParams
from tests.hub_card_rules import problems
from tests.stages import tables
from tests.stages.card_inputs import card_inputs, example, sections
from tests.stages.conftest import Load
from tests.stages.features import features, rollout_columns, rollout_row

KEY = CompletionParams(reasoning_key="reasoning_content")
ADDED = {"row_id": "string", "repeat_of": "string", "split": "string", "contaminated": "bool"}
CONTENT = "<answer>\nclass AddNew: ...\n</answer>"


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The params file is read where a stage runs."""
    monkeypatch.chdir(tmp_path)


def inputs(folder: Path, records: list[tables.Row], **knobs: tables.Row) -> dict[str, Path]:
    """Two modules: m1 in train, m2 in validation and in a benchmark."""
    written = tables.write(
        folder,
        records=records,
        clusters=[{"module_id": "m1", "group_id": "g1"}, {"module_id": "m2", "group_id": "g2"}],
        splits=[{"group_id": "g2", "split": "validation"}, {"group_id": "g1", "split": "train"}],
        contamination=[{"module_id": "m1", "contaminated": False}, {"module_id": "m2", "contaminated": True}],
    )
    return written | card_inputs(folder, len(records), **knobs)


def test_every_record_is_published_and_loads_offline(tmp_path: Path, load_offline: Load) -> None:
    records = [
        tables.record("a", extra='{"oai_tools":[{"name":"f"}],"x":1}', licenses=["MIT", "BSD-3-Clause"], uuid=4),
        tables.record("b", module_id="m2", reward=None, answer=None, reasoning=None, content="no answer"),
        tables.record("c", repeat_of="a", reward=0.2, licenses=[]),
    ]

    metrics = run(KEY, **inputs(tmp_path, records), dataset=tmp_path / "evals")

    loaded = load_offline(tmp_path / "evals")
    columns = rollout_columns(("role", "content", "reasoning_content"), ADDED)
    reasoning = {"reasoning_content": "Elementwise."}
    train: tables.Row = {"split": "train", "contaminated": False}
    validation: tables.Row = {"split": "validation", "contaminated": True}
    tools = '[{"name":"f"}]'
    assert list(loaded) == ["train"]
    assert list(loaded["train"]) == [
        rollout_row(records[0], reasoning, row_id="a", repeat_of=None, oai_tools=tools, **train),
        rollout_row(records[1], {"reasoning_content": None}, row_id="b", repeat_of=None, **validation),
        rollout_row(records[2], reasoning, row_id="c", repeat_of="a", **train),
    ]
    assert loaded["train"].features == features(columns)
    assert list(loaded["train"].features) == list(columns)
    assert metrics == {"rows_in": 3, "kept": 3, "split": {"train": 2, "validation": 1}}


def test_the_card_has_the_numbers_of_all_rows(tmp_path: Path) -> None:
    records = [
        tables.record("a"),
        tables.record("b", reward=None, licenses=None, module_id="m2"),
        tables.record("c", reward=0.5, reasoning=None),
    ]

    run(KEY, **inputs(tmp_path, records, ingest={"limit": 4}), dataset=tmp_path / "evals")

    told = sections(tmp_path / "evals")
    statistics = told["Statistics"]
    assert "From 0.500 to 1.000, 0.750 on average, median 0.750. 1 row without." in statistics
    assert "| reasoning | rows |\n| --- | ---: |\n| with | 2 |\n| without | 1 |" in statistics
    assert "| train | 2 |\n| validation | 1 |" in statistics
    assert "| module in a benchmark | rows |\n| --- | ---: |\n| no | 2 |\n| yes | 1 |" in statistics
    assert "| MIT | 2 | permissive |\n| none named | 1 | to be read |" in told["Licences"]
    assert [line.split(" | ")[0] for line in told["Funnel"].splitlines()[2:]] == [
        "| rollouts of the source",
        "| rejected",
        "| in this dataset",
    ]
    for line in (
        "This is a trial: no more than the first 4 rollouts were read.",
        "Modules that stand in a benchmark, and whose rows were not dropped: 1.",
        "Copies of the same content are not dropped.",
        "No licence is named for 1 row.",
    ):
        assert f"- {line}" in told["Limitations"].splitlines()
    text = (tmp_path / "evals" / "README.md").read_text(encoding="utf-8")
    assert problems(text) == ([], [])
    assert yaml.safe_load(text.split("---\n")[1])["license"] == ["mit", "unknown"]


def test_the_example_of_the_card_keeps_the_rows_to_train_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [tables.record("a"), tables.record("b", module_id="m2")]
    run(KEY, **inputs(tmp_path, records), dataset=tmp_path / "evals")

    assert example(tmp_path / "evals", monkeypatch)["trainable"]["row_id"] == ["a"]


def test_inline_reasoning_stands_in_the_content(tmp_path: Path, load_offline: Load) -> None:
    files = inputs(tmp_path, [tables.record("a")], completion={"reasoning_key": "inline"})
    run(CompletionParams(reasoning_key="inline"), **files, dataset=tmp_path / "evals")

    loaded = load_offline(tmp_path / "evals")["train"]
    assert loaded.features == features(rollout_columns(("role", "content"), ADDED))
    content = f"<think>\nElementwise.\n</think>\n\n{CONTENT}"
    assert loaded["completion"][0] == [{"role": "assistant", "content": content}]


def test_no_records_are_a_card_that_says_so(tmp_path: Path) -> None:
    metrics = run(KEY, **inputs(tmp_path, []), dataset=tmp_path / "evals")

    text = (tmp_path / "evals" / "README.md").read_text(encoding="utf-8")
    assert [file.name for file in (tmp_path / "evals").iterdir()] == ["README.md"]
    assert "This version has no rows." in text
    assert "configs" not in yaml.safe_load(text.split("---\n")[1])
    assert metrics == {"rows_in": 0, "kept": 0, "split": {}}


def test_contamination_of_other_modules_is_refused(tmp_path: Path) -> None:
    files = inputs(tmp_path, []) | tables.write(tmp_path, contamination=[{"module_id": "m9", "contaminated": False}])

    with pytest.raises(AssertionError, match="clusters and contamination: the keys differ"):
        run(KEY, **files, dataset=tmp_path / "evals")
