import json
from pathlib import Path
from typing import Any

import pytest

from stages.build_specs import source_rows
from stages.ingest_modules import Params, run
from stages.shared.records import MODULES, SOURCE_COLUMNS, module_id
from tests.stages import tables

PARAMS = Params(path="modules.jsonl", max_reject_fraction=0.0)
OTHER_CODE = tables.CODE.replace("Add", "Plus")
FIRST = {
    "module_name": "Add",
    "python_code": tables.CODE,
    "triton_code": "t",
    "uuid": 1,
    "repo_name": "a/one",
    "licenses": ["MIT"],
    "stars": 4,
    "sha": "abc",
    "repo_link": "https://example.org/a/one",
    "synthetic": False,
}
ADD = module_id(tables.CODE, "Add")


def source(folder: Path, *rows: tables.Row | str, name: str = "modules.jsonl") -> Path:
    file = folder / name
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def ingested(path: Path, out: Path, params: Params = PARAMS) -> tuple[list[tables.Row], list[tables.Row], Any]:
    """Modules, rejects and metrics."""
    modules, rejects = out / "modules.parquet", out / "rejects.parquet"
    metrics = run(params, path=path, modules=modules, rejects=rejects)
    return tables.rows(modules), tables.rows(rejects), metrics


def rollout(name: str, code: str, **columns: Any) -> tables.Row:
    info = {"module_name": name, "python_code": code, "uuid": 9, "licenses": "MIT"}
    prompt = [{"role": "user", "content": "Write it."}]
    completion = [{"role": "assistant", "content": "<answer>x = 1</answer>"}]
    return {"prompt": prompt, "completion": completion, "info": info, "reward": 1.0, **columns}


def test_a_source_row_keeps_every_field(tmp_path: Path) -> None:
    path = source(tmp_path, FIRST | {"stars_date": "2024", "none": None})

    modules, rejects, metrics = ingested(path, tmp_path)

    expected = dict.fromkeys(MODULES.names) | {name: value for name, value in FIRST.items() if name != "uuid"}
    added = {"module_id": ADD, "entry_point": "Add", "uuids": [1], "n_rows": 1}
    assert modules == [expected | added | {"source": "modules.jsonl", "extra": '{"stars_date":"2024"}'}]
    assert rejects == []
    assert metrics == {"rows_in": 1, "kept": 1, "dropped_rejected": 0, "dropped_same_module": 0}


def test_rows_of_one_code_and_name_are_one_module_in_the_order_of_the_first(tmp_path: Path) -> None:
    """The same code under another name is another module."""
    rows: list[tables.Row] = [
        FIRST,
        {"module_name": "Plus", "python_code": OTHER_CODE},
        FIRST | {"uuid": None, "repo_name": "b/two", "stars": None, "note": "copied"},
        {"module_name": "Sum", "python_code": tables.CODE},
    ]

    modules, _, metrics = ingested(source(tmp_path, *rows), tmp_path)

    assert [(row["module_name"], row["uuids"], row["n_rows"]) for row in modules] == [
        ("Add", [1, None], 2),
        ("Plus", [None], 1),
        ("Sum", [None], 1),
    ]
    assert [row["entry_point"] for row in modules] == ["Add", "Plus", "Add"]
    assert json.loads(modules[0]["extra"]) == {"copies": [{"repo_name": "b/two", "stars": None, "note": "copied"}]}
    assert metrics == {"rows_in": 4, "kept": 3, "dropped_rejected": 0, "dropped_same_module": 1}


def test_merged_source_rows_come_back_whole(tmp_path: Path) -> None:
    rows = [
        FIRST,
        FIRST | {"uuid": 2, "licenses": ["GPL-3.0", "MIT"], "repo_name": None},
        FIRST | {"uuid": 3, "triton_code": None, "stars": 0, "sha": "d0d0"},
    ]

    (module,), _, _ = ingested(source(tmp_path, *rows), tmp_path)

    assert [{name: row[name] for name in SOURCE_COLUMNS} for row in source_rows(module)] == [
        {name: row[name] for name in SOURCE_COLUMNS} for row in rows
    ]


def test_rollouts_give_their_distinct_modules(tmp_path: Path) -> None:
    rows = [rollout("Add", tables.CODE), rollout("Plus", OTHER_CODE), rollout("Add", tables.CODE, reward=0.1)]

    modules, _, metrics = ingested(source(tmp_path, *rows), tmp_path)

    assert [(row["module_id"], row["uuids"], row["n_rows"], row["licenses"], row["extra"]) for row in modules] == [
        (ADD, [9], 1, ["MIT"], None),
        (module_id(OTHER_CODE, "Plus"), [9], 1, ["MIT"], None),
    ]
    assert metrics == {"rows_in": 3, "kept": 2, "dropped_rejected": 0, "dropped_same_module": 1}


def test_a_given_entry_point_stays_and_code_that_is_lost_has_none(tmp_path: Path) -> None:
    rows = [FIRST | {"entry_point": "Model"}, FIRST | {"python_code": ""}, FIRST | {"python_code": "class Add("}]

    modules, _, _ = ingested(source(tmp_path, *rows), tmp_path)

    assert [row["entry_point"] for row in modules] == ["Model", None, None]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"module_name": "Add", "python_code": None}, "python_code: expected a text, got None"),
        ({"python_code": "x"}, "module_name: expected a text, got None"),
        (FIRST | {"stars": "many"}, "stars: expected int or null, got 'many'"),
        (FIRST | {"uuid": True}, "uuid: expected int or null, got True"),
        (FIRST | {"licenses": [1]}, "licenses: expected a list of texts, got [1]"),
        (FIRST | {"synthetic": 0}, "synthetic: expected bool or null, got 0"),
        ("[]", "expected a JSON object"),
    ],
)
def test_a_row_that_is_no_module_is_rejected_with_file_line_and_reason(
    tmp_path: Path, row: tables.Row | str, reason: str
) -> None:
    path = source(tmp_path, FIRST, row)

    modules, rejects, metrics = ingested(path, tmp_path, Params(path="", max_reject_fraction=0.5))

    assert [row["module_id"] for row in modules] == [ADD]
    assert [(row["file"], row["line"], row["reason"]) for row in rejects] == [("modules.jsonl", 2, reason)]
    assert metrics == {"rows_in": 2, "kept": 1, "dropped_rejected": 1, "dropped_same_module": 0}


def test_too_many_rejects_stop_and_leave_nothing(tmp_path: Path) -> None:
    path = source(tmp_path, FIRST, {"module_name": "Add", "python_code": 3})

    with pytest.raises(
        ValueError,
        match=r"^1 of 2 rows rejected, ingest_modules.max_reject_fraction is 0.0: modules.jsonl:2: python_code: ",
    ):
        ingested(path, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["modules.jsonl"]


def test_an_empty_folder_is_no_modules(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    folder.mkdir()
    (folder / "README.md").write_text("No modules.")

    assert ingested(folder, tmp_path) == (
        [],
        [],
        {"rows_in": 0, "kept": 0, "dropped_rejected": 0, "dropped_same_module": 0},
    )


@pytest.mark.parametrize(
    ("fraction", "message"),
    [
        (1.1, "Input should be less than or equal to 1 (got 1.1)"),
        (-0.1, "Input should be greater than or equal to 0 (got -0.1)"),
        ("none", "Input should be a valid number (got 'none')"),
    ],
)
def test_a_wrong_knob_is_named(tmp_path: Path, fraction: Any, message: str) -> None:
    knobs = {"path": "x", "max_reject_fraction": fraction}

    found = tables.knob_message(tmp_path, "ingest_modules", Params, knobs)

    assert found == f"ingest_modules.max_reject_fraction: {message}"
