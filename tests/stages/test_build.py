import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.build import SHOWN_SECTIONS, run
from stages.shared.completion import CompletionParams
from tests.stages import tables
from tests.stages.conftest import Load
from tests.stages.features import features, rollout_columns, rollout_row

KEY = CompletionParams(reasoning_key="reasoning_content")
ADDED = {
    "difficulty": "string",
    "evaluation_raw": "string",
    "row_id": "string",
    "group_id": "string",
    "n_total_tokens": "int64",
}
RECORDS = [
    tables.record("a", module_id="m1", example_id=7, uuid=5, stars=3, extra='{"oai_tools":"[]"}', num_turns=1),
    tables.record("b", module_id="m2", reasoning=None, licenses=None, reward=0.9),
    tables.record("c", module_id="m1", licenses=["MIT", "x|<b>"]),
    tables.record("d", module_id="m2", reward=0.1),
]
LOW, DROPPED = {"all": None, "best": "not_unique", "best-short": "not_unique"}, "low_reward"
BEST = {"all": None, "best": None, "best-short": None}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Rows a (train), b (validation), c (only in `all`) and d (dropped)."""
    monkeypatch.chdir(tmp_path)
    sections: dict[str, Any] = {name: {"knob": 1} for name in SHOWN_SECTIONS}
    Path("params.yaml").write_text(yaml.safe_dump(sections | {"decontaminate": {"benchmarks": "/home/me/bench"}}))
    modules = {"a": "m1", "b": "m2", "c": "m1", "d": "m2"}
    fates: dict[str, tables.Row] = {"a": BEST, "b": BEST, "c": LOW, "d": dict.fromkeys(tables.VARIANTS.root, DROPPED)}
    sides = {"m1": ("g1", "train"), "m2": ("g2", "validation")}
    return tables.write(
        tmp_path,
        records=RECORDS,
        selection=[
            {"row_id": row_id, "group_id": sides[module][0], "split": sides[module][1], **fates[row_id]}
            for row_id, module in modules.items()
        ],
        difficulty=[
            {"row_id": row_id, "difficulty": "low", "rater": "static", "evaluation_raw": f"why {row_id}"}
            for row_id in "abc"
        ],
        lengths=[
            {"row_id": row_id, "n_total_tokens": 100 + i, "n_total_tokens_no_reasoning": 10 + i}
            for i, row_id in enumerate("abcd")
        ],
        clusters=[
            {"module_id": m, "module_name": f"n{m}", "code_hash": f"c{m}", "cluster_id": f"k{m}"} for m in ("m1", "m2")
        ],
    )


def build(files: dict[str, Path], variant: str, key: CompletionParams = KEY) -> tuple[Path, Any]:
    folder = files["records"].parent / "dataset" / variant
    return folder, run(tables.VARIANTS, key, variant=variant, **files, dataset=folder)


def row_a(tokens: int, message: tables.Row) -> tables.Row:
    """The whole published row of the record a."""
    rating = {"difficulty": "low", "evaluation_raw": "why a"}
    added = {"row_id": "a", "group_id": "g1", "n_total_tokens": tokens, "oai_tools": "[]"}
    return rollout_row(RECORDS[0], message, **rating, **added)


def row_b(tokens: int, message: tables.Row) -> tables.Row:
    """The whole published row of the record b."""
    rating = {"difficulty": "low", "evaluation_raw": "why b"}
    return rollout_row(RECORDS[1], message, **rating, row_id="b", group_id="g2", n_total_tokens=tokens)


def test_a_dataset_loads_offline_with_every_column_and_row(files: dict[str, Path], load_offline: Load) -> None:
    folder, metrics = build(files, "best")

    loaded = load_offline(folder)
    columns = rollout_columns(("role", "content", "reasoning_content"), ADDED)
    assert {name: list(split) for name, split in loaded.items()} == {
        "train": [row_a(100, {"reasoning_content": "Elementwise."})],
        "validation": [row_b(101, {"reasoning_content": None})],
    }
    assert loaded["train"].features == loaded["validation"].features == features(columns)
    assert list(loaded["train"].features) == list(columns)
    assert metrics == {
        "rows_in": 4,
        "kept": 2,
        "dropped_low_reward": 1,
        "dropped_not_unique": 1,
        "splits": {"train": 1, "validation": 1},
        "leakage_checked": {"code_hash": 2, "cluster_id": 2, "module_name": 2},
    }


def test_a_dataset_without_reasoning_has_the_answer_alone(files: dict[str, Path], load_offline: Load) -> None:
    folder, _ = build(files, "best-short")

    loaded = load_offline(folder)
    assert loaded["train"].features == features(rollout_columns(("role", "content"), ADDED))
    assert list(loaded["train"]) == [row_a(10, {})]
    assert list(loaded["validation"]) == [row_b(11, {})]


@pytest.mark.parametrize(
    ("key", "messages"),
    [
        ("inline", [{"content": f"<think>\nElementwise.\n</think>\n\n{RECORDS[0]['content']}"}, {}]),
        ("thoughts", [{"thoughts": "Elementwise."}, {"thoughts": None}]),
    ],
)
def test_the_reasoning_stands_under_the_key_of_the_knob(
    files: dict[str, Path], key: str, messages: list[tables.Row]
) -> None:
    folder, _ = build(files, "best", CompletionParams(reasoning_key=key))

    rows = [row for split in ("train", "validation") for row in tables.rows(*(folder / "data").glob(f"{split}-*"))]
    assert [row["completion"] for row in rows] == [
        [{"role": "assistant", "content": RECORDS[0]["content"]} | message] for message in messages
    ]


def test_equal_inputs_give_equal_bytes(files: dict[str, Path]) -> None:
    folder, _ = build(files, "all")
    first = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    build(files, "all")

    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == first


def decided(files: dict[str, Path], **fates: tables.Row) -> dict[str, Path]:
    """The same tables with other fates for some rows."""
    rows = [row | fates.get(row["row_id"], {}) for row in tables.rows(files["selection"])]
    return files | tables.write(files["records"].parent, selection=rows)


def test_a_split_without_rows_is_neither_a_file_nor_in_the_card(files: dict[str, Path], load_offline: Load) -> None:
    folder, metrics = build(decided(files, b={"best": "gate"}), "best")

    assert [file.name for file in (folder / "data").iterdir()] == ["train-00000-of-00001.parquet"]
    meta = yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    data_files = [{"split": "train", "path": "data/train-*"}]
    assert meta["configs"] == [{"config_name": "default", "default": True, "data_files": data_files}]
    assert {name: split.num_rows for name, split in load_offline(folder).items()} == metrics["splits"] == {"train": 1}


def test_a_dataset_without_rows_is_a_card_that_says_so(files: dict[str, Path]) -> None:
    folder, metrics = build(decided(files, a={"best": "gate"}, b={"best": "gate"}), "best")

    text = (folder / "README.md").read_text(encoding="utf-8")
    assert [file.name for file in folder.iterdir()] == ["README.md"]
    assert "This version has no rows." in text
    assert "configs" not in yaml.safe_load(text.split("---\n")[1])
    assert (metrics["kept"], metrics["splits"]) == (0, {})


@pytest.mark.parametrize("trait", ["code_hash", "cluster_id", "module_name"])
@pytest.mark.parametrize("variant", ["best", "best-short"])
def test_a_trait_in_two_splits_stops_every_dataset(files: dict[str, Path], variant: str, trait: str) -> None:
    """Also where only another dataset publishes one of the two rows; what was built before stays as it was."""
    folder, _ = build(files, variant)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    leaking = [row | {trait: "same"} for row in tables.rows(files["clusters"])]
    files |= tables.write(files["records"].parent, clusters=leaking)

    with pytest.raises(ValueError, match=f"^leak: the {trait} 'same' is in both train and validation$"):
        build(decided(files, b={"best": "gate", "best-short": "gate"}), variant)
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_the_card_tells_the_way_of_the_rows_and_no_path_of_the_machine(files: dict[str, Path]) -> None:
    folder, _ = build(files, "all")

    text = (folder / "README.md").read_text(encoding="utf-8")
    sections = dict(part.split("\n\n", 1) for part in text.split("\n## ")[1:])
    rows = ["rows_in | 4", "kept | 3", "dropped_low_reward | 1", "train | 2", "validation | 1"]
    assert sections["Rows"].strip() == "\n".join(["| rows | n |", "| --- | --- |", *(f"| {row} |" for row in rows)])
    assert sections["Rewards"].strip() == "From 0.900 to 1.000, 0.967 on average, as their source gave them."
    assert "| low, static | 3 |" in sections["Difficulty"]
    assert re.findall(r"^\| (.*) \| (\d+) \|$", sections["Licences"], re.MULTILINE) == [
        ("MIT", "2"),
        ("unknown", "1"),
        (r"x\|\<b\>", "1"),
    ]
    assert "| rollouts.jsonl | 3 |" in sections["Sources"]
    assert "| decontaminate.benchmarks | bench |" in sections["Parameters"]
    assert "/home/me" not in text
