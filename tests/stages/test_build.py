import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.build import run
from stages.shared.completion import CompletionParams
from tests.hub_card_rules import problems
from tests.stages import tables
from tests.stages.card_inputs import card_inputs, example, sections
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
FLAGS = {"b": ["no_launch"], "c": ["no_launch", "torch_fallback"], "d": ["crash"]}
LOW, DROPPED = {"all": None, "best": "not_unique", "best-short": "not_unique"}, "low_reward"
BEST = {"all": None, "best": None, "best-short": None}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Rows a (train), b (validation), c (only in `all`) and d (dropped)."""
    monkeypatch.chdir(tmp_path)
    modules = {"a": "m1", "b": "m2", "c": "m1", "d": "m2"}
    fates: dict[str, tables.Row] = {"a": BEST, "b": BEST, "c": LOW, "d": dict.fromkeys(tables.VARIANTS.root, DROPPED)}
    sides = {"m1": ("g1", "train"), "m2": ("g2", "validation")}
    written = tables.write(
        tmp_path,
        records=RECORDS,
        verdicts=[
            {"row_id": row_id, "verdict": "wrong" if row_id == "c" else "unknown", "flags": FLAGS.get(row_id, [])}
            for row_id in "abcd"
        ],
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
    return written | card_inputs(tmp_path, len(RECORDS), decontaminate={"benchmarks": "/home/me/bench"})


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
    card_inputs(Path(), len(RECORDS), completion={"reasoning_key": key})
    folder, _ = build(files, "best", CompletionParams(reasoning_key=key))

    rows = [row for split in ("train", "validation") for row in tables.rows(*(folder / "data").glob(f"{split}-*"))]
    assert [row["completion"] for row in rows] == [
        [{"role": "assistant", "content": RECORDS[0]["content"]} | message] for message in messages
    ]
    assert f"`{'<think>' if key == 'inline' else key}`" in sections(folder)["A row"]


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
    folder, _ = build(files, "best")

    told = sections(folder)
    assert list(told) == [
        *("A row", "How to use", "How it was made", "Funnel", "Statistics", "Licences", "Limitations", "Sources"),
        "Parameters",
    ]
    assert [line.split(" | ")[0::4] for line in told["Funnel"].splitlines()[2:]] == [
        ["| rollouts of the source", "5 |"],
        ["| rejected", "4 |"],
        ["| low_reward", "3 |"],
        ["| not_unique", "2 |"],
        ["| in this dataset", "2 |"],
    ]
    assert "(8 problems) from `bench`" in told["How it was made"]
    assert "| decontaminate.benchmarks | bench |" in told["Parameters"]
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "/home/me" not in text
    assert str(folder.parent) not in text


def test_the_card_has_the_numbers_of_its_rows_alone(files: dict[str, Path]) -> None:
    folder, _ = build(files, "all")

    told = sections(folder)
    numbers = dict(part.strip("\n").split("\n\n", 1) for part in told["Statistics"].split("### ")[1:])
    assert numbers["Rewards"] == "From 0.900 to 1.000, 0.967 on average, median 1.000."
    assert numbers["Lengths"].startswith("303 tokens through the chat template, 101 a row on average.")
    assert "| low, by static | 3 |" in numbers["Difficulty"]
    assert re.findall(r"^\| (\w+) \| (\d+) \|$", numbers["Verification"], re.MULTILINE) == [
        ("unknown", "2"),
        ("wrong", "1"),
        ("no_launch", "2"),
        ("torch_fallback", "1"),
    ]
    assert "| train | 2 |\n| validation | 1 |" in numbers["Splits"]
    assert re.findall(r"^\| (.*) \| (\d+) \| [a-z ]+ \|$", told["Licences"], re.MULTILINE) == [
        ("MIT", "2"),
        ("none named", "1"),
        (r"x\|\<b\>", "1"),
    ]
    assert told["Sources"].splitlines()[2:] == ["| rollouts.jsonl |  | 3 |"]


def test_the_card_says_what_its_rows_are_not(files: dict[str, Path]) -> None:
    reasoned, alone = build(files, "all")[0], build(files, "best-short")[0]

    limits = sections(reasoned)["Limitations"]
    for line in (
        "No answer was run: that an answer is right is known from its reward alone.",
        "Wrong by their verdict, and here all the same: 1 row.",
        "Flagged by `verify`, and here all the same: 2 rows.",
        "Without reasoning, which their source does not have: 1 row of 3.",
        "No licence is named for 1 row.",
    ):
        assert f"- {line}" in limits.splitlines()
    assert "Without reasoning" not in sections(alone)["Limitations"]
    assert "Wrong by their verdict" not in sections(alone)["Limitations"]


def test_the_hub_accepts_the_card_and_its_files(files: dict[str, Path]) -> None:
    """Licences that the Hub does not list have a file, and the rows of a fetched folder name their dataset."""
    fetched = [row | {"source": "a/b/data/x.parquet", "source_revision": "f" * 40} for row in RECORDS]
    files |= tables.write(files["records"].parent, records=fetched)
    folder, _ = build(files, "all")

    text = (folder / "README.md").read_text(encoding="utf-8")
    assert problems(text) == ([], [])
    meta = yaml.safe_load(text.split("---\n")[1])
    assert meta["license"] == ["mit", "other", "unknown"]
    assert meta["source_datasets"] == ["a/b"]
    assert sorted(path.name for path in folder.iterdir()) == ["LICENSE.md", "README.md", "assets", "data"]
    assert re.findall(r"!\[.*\]\((.*)\)", text) == ["assets/statistics.svg"]
    assert "seq_len 1,024 holds all" in (folder / "assets" / "statistics.svg").read_text(encoding="utf-8")


def test_the_example_of_the_card_runs(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = build(files, "best")

    loaded = example(folder, monkeypatch)["dataset"]
    assert {name: split.num_rows for name, split in loaded.items()} == {"train": 1, "validation": 1}


def test_verdicts_of_other_records_are_refused(files: dict[str, Path]) -> None:
    files |= tables.write(files["records"].parent, verdicts=[{"row_id": "z"}])

    with pytest.raises(AssertionError, match="records and verdicts: the keys differ"):
        build(files, "all")
