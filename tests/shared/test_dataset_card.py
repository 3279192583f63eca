import re
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.shared.dataset import SplitWriter
from stages.shared.dataset_card import card, cell, counts_table, knobs_table, lengths_text, markdown_table, rewards_text
from stages.shared.length_stats import length_stats
from stages.shared.published import schema

SCHEMA = schema(
    "reasoning_content",
    reasoning=True,
    more=[("ok", pa.bool_()), ("flags", pa.list_(pa.string())), ("uuids", pa.list_(pa.int64()))],
)
HOSTILE = "a|b\n# c <script>alert(1)</script> [x](javascript:1) `d` \\| e"


def write(folder: Path, *, licenses: set[str], rows: int = 2) -> str:
    splits = []
    if rows:
        writer = SplitWriter(folder, "train", rows, SCHEMA)
        for i in range(rows):
            writer.write({"example_id": i})
        splits.append(writer.close())
    text = card(
        "Kernels: a title",
        "A row is a rollout.",
        folder,
        SCHEMA,
        splits=splits,
        licenses=licenses,
        sections={"Rows": "Two.", "Licences": "MIT."},
    )
    (folder / "README.md").write_text(text)
    return text


def test_the_card_of_a_small_dataset(tmp_path: Path) -> None:
    text = write(tmp_path, licenses={"MIT", "Apache-2.0"})

    _, front, body = text.split("---\n", 2)
    meta = yaml.safe_load(front)
    features = meta["dataset_info"].pop("features")
    (file,) = (tmp_path / "data").iterdir()
    size = meta["dataset_info"]["dataset_size"]
    assert meta == {
        "language": ["en"],
        "license": ["apache-2.0", "mit"],
        "pretty_name": "Kernels: a title",
        "size_categories": ["n<1K"],
        "source_datasets": ["original"],
        "tags": ["triton", "pytorch", "gpu-kernels", "code"],
        "task_categories": ["text-generation"],
        "configs": [
            {"config_name": "default", "default": True, "data_files": [{"split": "train", "path": "data/train-*"}]}
        ],
        "dataset_info": {
            "config_name": "default",
            "splits": [{"name": "train", "num_bytes": size, "num_examples": 2}],
            "download_size": file.stat().st_size,
            "dataset_size": size,
        },
    }
    assert [feature["name"] for feature in features] == SCHEMA.names
    assert body == "\n# Kernels: a title\n\nA row is a rollout.\n\n## Rows\n\nTwo.\n\n## Licences\n\nMIT.\n"


def test_the_features_of_the_card_are_the_columns_of_the_files(tmp_path: Path) -> None:
    from datasets import Features, load_dataset  # noqa: PLC0415  # takes seconds
    from huggingface_hub import DatasetCard, DatasetCardData  # noqa: PLC0415

    write(tmp_path, licenses={"mit"})

    loaded = DatasetCard.load(tmp_path / "README.md")
    assert isinstance(loaded.data, DatasetCardData)
    features = Features._from_yaml_list(loaded.data.get("dataset_info")["features"])  # noqa: SLF001  # what datasets itself reads cards with
    assert features.arrow_schema.remove_metadata() == SCHEMA
    dataset = load_dataset(str(tmp_path), cache_dir=str(tmp_path / "cache"))
    assert dataset["train"].features == features
    assert dataset["train"]["example_id"][:] == [0, 1]


@pytest.mark.parametrize("licenses", [set(), {"MIT", "BSD"}, {"Custom"}])
def test_a_licence_that_the_hub_does_not_know_is_told_per_row(tmp_path: Path, licenses: set[str]) -> None:
    meta = yaml.safe_load(write(tmp_path, licenses=licenses).split("---\n")[1])

    given = {name: value for name, value in meta.items() if name.startswith("license")}
    assert given == {"license": "other", "license_name": "per-row", "license_link": "README.md"}


def test_a_dataset_without_rows_says_so_and_offers_no_files(tmp_path: Path) -> None:
    text = write(tmp_path, licenses=set(), rows=0)

    assert "\nA row is a rollout.\n\nThis version has no rows.\n" in text
    assert {"configs", "dataset_info"} & set(yaml.safe_load(text.split("---\n")[1])) == set()


@pytest.mark.parametrize(
    ("rows", "size"),
    [(999, "n<1K"), (1000, "1K<n<10K"), (10_000, "10K<n<100K"), (100_000, "100K<n<1M"), (1_000_000, "n>1M")],
)
def test_the_size_category_is_the_number_of_rows(tmp_path: Path, rows: int, size: str) -> None:
    (tmp_path / "data").mkdir()
    splits = [
        {"name": "train", "num_bytes": 0, "num_examples": rows - 1},
        {"name": "b", "num_bytes": 0, "num_examples": 1},
    ]
    text = card("T", "S", tmp_path, SCHEMA, splits=splits, licenses=[], sections={})

    assert yaml.safe_load(text.split("---\n")[1])["size_categories"] == [size]


def test_a_table_of_values() -> None:
    rows = [("a", 1234567), ("b", 0.12345), ("c", 1234.5), ("d", True), ("e", None), ("f", ["x", 1])]

    assert markdown_table(["name", "value"], rows).splitlines() == [
        "| name | value |",
        "| --- | --- |",
        "| a | 1,234,567 |",
        "| b | 0.1235 |",
        "| c | 1,234 |",
        "| d | yes |",
        "| e | none |",
        "| f | \\['x', 1\\] |",
    ]
    assert counts_table("reason", {"gate": 1200}) == "| reason | n |\n| --- | --- |\n| gate | 1,200 |"


@given(st.text() | st.just(HOSTILE))
@settings(deadline=None)
def test_no_text_breaks_out_of_its_cell(text: str) -> None:
    shown = cell(text)

    assert len(shown.splitlines()) <= 1
    assert re.search(r"(?<!\\)(?:\\\\)*[|<>`\[\]]", shown) is None
    assert re.sub(r"\\(.)", r"\1", shown) == " ".join(text.split())


def test_only_the_name_of_an_absolute_path_is_told() -> None:
    text = knobs_table({"ingest": {"base": "/home/someone/rollouts", "limit": None}, "split": {"pins": "data/none"}})

    assert text.splitlines()[2:] == [
        "| ingest.base | rollouts |",
        "| ingest.limit | none |",
        "| split.pins | data/none |",
    ]


def test_rewards_and_lengths_in_words() -> None:
    assert rewards_text([]) == lengths_text(length_stats([])) == "None."
    assert rewards_text([1.0, 2.0, 0.9]) == "From 0.900 to 2.000, 1.300 on average, as their source gave them."
    lines = lengths_text(length_stats([1500, 3000])).splitlines()
    assert lines[:4] == ["| percentile | tokens |", "| --- | --- |", "| 50 | 1,500 |", "| 75 | 3,000 |"]
    assert lines[-1] == (
        "4,500 tokens in all, counted through the chat template. `seq_len` 3,072 holds 99 % of the rows whole. "
        "`seq_len` 3,072 holds 99.5 % of the rows whole. `seq_len` 3,072 holds 100 % of the rows whole."
    )
