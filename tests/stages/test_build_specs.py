import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.build_specs import run, source_account, source_rows
from tests.hub_card_rules import problems
from tests.stages import tables
from tests.stages.card_inputs import card_inputs, example, sections
from tests.stages.conftest import Load
from tests.stages.features import PROVENANCE, features

COLUMNS = {
    "prompt": "string",
    **PROVENANCE,
    "writer": "string",
    "module_id": "string",
    "split": "string",
    "contaminated": "bool",
}
COPIES = {"copies": [{"repo_name": "b/two", "licenses": [], "stars": None}, {"sha": "f00"}], "note": "x"}
MODULE = {
    "module_id": "m1",
    "module_name": "Add",
    "python_code": tables.CODE,
    "uuids": [11, None, 13],
    "n_rows": 3,
    "repo_name": "a/one",
    "licenses": ["MIT"],
    "stars": 4,
    "sha": "abc",
    "extra": json.dumps(COPIES),
}


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The params file is read where a stage runs."""
    monkeypatch.chdir(tmp_path)


def inputs(folder: Path, modules: list[tables.Row], prompts: list[str | None]) -> dict[str, Path]:
    """Modules of which the last stands in a benchmark, each a group of its own."""
    ids = [module["module_id"] for module in modules]
    written = tables.write(
        folder,
        modules=modules,
        specs=[{"module_id": i, "prompt": text, "writer": "template"} for i, text in zip(ids, prompts, strict=True)],
        clusters=[{"module_id": i, "group_id": i} for i in ids],
        splits=[{"group_id": i, "split": "validation" if i == "m3" else "train"} for i in ids],
        contamination=[{"module_id": i, "contaminated": i == ids[-1]} for i in ids],
    )
    return written | card_inputs(folder, sum(module["n_rows"] for module in modules), "ingest_modules")


def test_a_merged_module_gives_its_source_rows_back_each_with_its_own_provenance() -> None:
    found = [
        {name: row[name] for name in ("uuid", "repo_name", "licenses", "stars", "sha")} for row in source_rows(MODULE)
    ]

    assert found == [
        {"uuid": 11, "repo_name": "a/one", "licenses": ["MIT"], "stars": 4, "sha": "abc"},
        {"uuid": None, "repo_name": "b/two", "licenses": [], "stars": None, "sha": "abc"},
        {"uuid": 13, "repo_name": "a/one", "licenses": ["MIT"], "stars": 4, "sha": "f00"},
    ]


def test_a_module_of_one_row_is_that_row() -> None:
    module = MODULE | {"uuids": [11], "extra": None}

    assert list(source_rows(module)) == [module | {"uuid": 11}]


def test_every_source_row_with_a_specification_is_published_and_loads_offline(
    tmp_path: Path, load_offline: Load
) -> None:
    single: tables.Row = {"uuids": [None], "n_rows": 1, "extra": None}
    modules = [MODULE, MODULE | single | {"module_id": "m2"}, MODULE | single | {"module_id": "m3", "licenses": None}]

    metrics = run(**inputs(tmp_path, modules, ["Write Add.", None, "Write Sub."]), dataset=tmp_path / "tasks")

    loaded = load_offline(tmp_path / "tasks")["train"]
    common: dict[str, Any] = dict.fromkeys(COLUMNS) | {
        "module_name": "Add",
        "python_code": tables.CODE,
        "repo_name": "a/one",
        "licenses": ["MIT"],
        "stars": 4,
        "sha": "abc",
        "writer": "template",
    }
    first = common | {"prompt": "Write Add.", "module_id": "m1", "split": "train", "contaminated": False}
    assert list(loaded) == [
        first | {"uuid": 11},
        first | {"repo_name": "b/two", "licenses": [], "stars": None},
        first | {"uuid": 13, "sha": "f00"},
        common
        | {"prompt": "Write Sub.", "module_id": "m3", "split": "validation", "contaminated": True, "licenses": None},
    ]
    assert loaded.features == features(COLUMNS)
    assert list(loaded.features) == list(COLUMNS)
    assert metrics == {
        "rows_in": 5,
        "kept": 4,
        "dropped_no_spec": 1,
        "split": {"train": 3, "validation": 1},
        "writer": {"template": 4},
    }
    told = sections(tmp_path / "tasks")
    assert "| MIT | 2 | permissive |\n| none named | 2 | to be read |" in told["Licences"]
    assert [line.split(" | ")[0::4] for line in told["Funnel"].splitlines()[2:]] == [
        ["| rows of the source", "6 |"],
        ["| rejected", "5 |"],
        ["| no_spec", "4 |"],
        ["| in this dataset", "4 |"],
    ]
    assert told["Statistics"].split("\n\n")[1] == "10 characters on average."
    assert "| template | 4 |" in told["Statistics"]
    assert problems((tmp_path / "tasks" / "README.md").read_text(encoding="utf-8")) == ([], [])


def test_the_example_of_the_card_keeps_the_rows_to_train_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = [MODULE | {"module_id": name, "uuids": [i], "n_rows": 1, "extra": None} for i, name in enumerate("xyz")]
    run(**inputs(tmp_path, modules, ["Write X.", "Write Y.", "Write Z."]), dataset=tmp_path / "tasks")

    assert example(tmp_path / "tasks", monkeypatch)["trainable"]["prompt"] == ["Write X.", "Write Y."]


def test_further_rollouts_of_a_module_are_accounted_for() -> None:
    """Where the distinct modules of rollouts are taken, a module has one row."""
    assert source_account({"rows_in": 10, "kept": 3, "dropped_rejected": 2, "dropped_same_module": 5}, 3) == {
        "rows_in": 10,
        "kept": 3,
        "dropped_rejected": 2,
        "dropped_same_module": 5,
    }


@pytest.mark.parametrize("modules", [[], [MODULE]])
def test_without_a_specification_there_is_only_a_card_that_says_so(tmp_path: Path, modules: list[tables.Row]) -> None:
    metrics = run(**inputs(tmp_path, modules, [None] * len(modules)), dataset=tmp_path / "tasks")

    text = (tmp_path / "tasks" / "README.md").read_text(encoding="utf-8")
    assert [file.name for file in (tmp_path / "tasks").iterdir()] == ["README.md"]
    assert "This version has no rows." in text
    assert "configs" not in yaml.safe_load(text.split("---\n")[1])
    dropped = {"dropped_no_spec": 3} if modules else {}
    assert metrics == {"rows_in": 3 * len(modules), "kept": 0, **dropped, "split": {}, "writer": {}}


def test_specifications_of_other_modules_are_refused(tmp_path: Path) -> None:
    files = inputs(tmp_path, [MODULE], ["Write Add."]) | tables.write(tmp_path, specs=[{"module_id": "m9"}])

    with pytest.raises(AssertionError, match="modules and specs: the keys differ"):
        run(**files, dataset=tmp_path / "tasks")
    assert not (tmp_path / "tasks").exists()
