from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from stages.shared.cards.dataset_card import Card, loading_text, source_datasets, write_card
from stages.shared.cards.svg_picture import Bars, Histogram
from stages.shared.datasets.dataset import SplitWriter
from stages.shared.datasets.published import schema
from tests.hub_card_rules import problems

SCHEMA = schema(
    "reasoning_content",
    reasoning=True,
    more=[("ok", pa.bool_()), ("flags", pa.list_(pa.string())), ("uuids", pa.list_(pa.int64()))],
)
CARD = Card(
    title="Kernels: a title",
    summary="A row is a rollout.",
    schema=SCHEMA,
    splits=[],
    licenses=Counter({("MIT",): 1, ("Apache-2.0",): 1}),
    sources=[("a.jsonl", None)],
    panels=[Histogram("Rewards", [1.0, 2.0], marks={"mark": 1.5}), Bars("a|b", {"train": 2})],
    sections={
        "A row": "Columns.",
        "How to use": "So.",
        "Statistics": "Two.",
        "Licences": "MIT.",
        "Limitations": "All.",
    },
)


def write(folder: Path, rows: int = 2, **other: Any) -> tuple[dict[str, Any], str]:
    """Write a dataset and its card; returns the YAML and what follows it."""
    splits = []
    if rows:
        writer = SplitWriter(folder, "train", rows, SCHEMA)
        for i in range(rows):
            writer.write({"example_id": i})
        splits.append(writer.close())
    write_card(folder, replace(CARD, splits=splits, **other))
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert problems(text) == ([], [])
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_card_of_a_small_dataset(tmp_path: Path) -> None:
    meta, body = write(tmp_path)

    features = meta["dataset_info"].pop("features")
    (file,) = (tmp_path / "data").iterdir()
    size = meta["dataset_info"]["dataset_size"]
    assert meta == {
        "language": ["en"],
        "license": ["apache-2.0", "mit"],
        "pretty_name": "Kernels: a title",
        "annotations_creators": ["machine-generated"],
        "size_categories": ["n<1K"],
        "source_datasets": ["original"],
        "tags": ["triton", "pytorch", "gpu-kernels", "code", "synthetic"],
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
    assert body == (
        "\n# Kernels: a title\n\nA row is a rollout.\n\n## A row\n\nColumns.\n\n## How to use\n\nSo.\n\n"
        "## Statistics\n\n![Rewards: from 1 to 2, mark; a\\|b: train 2](assets/statistics.svg)\n\nTwo.\n\n"
        "## Licences\n\nMIT.\n\n## Limitations\n\nAll.\n"
    )
    picture = (tmp_path / "assets" / "statistics.svg").read_text(encoding="utf-8")
    assert '<title id="description">Kernels: a title. Rewards: from 1 to 2, mark; a|b: train 2</title>' in picture
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "assets", "data"]


def test_what_the_picture_shows_is_told_whole(tmp_path: Path) -> None:
    """However many panels there are."""
    panels = [Bars(f"Panel {number} of the picture", {"a_name": number}) for number in range(10)]

    _, body = write(tmp_path, panels=panels)

    told = "; ".join(f"Panel {number} of the picture: a_name {number}" for number in range(10))
    assert f"![{told}](assets/statistics.svg)" in body


def test_datasets_and_the_hub_client_read_the_card(tmp_path: Path) -> None:
    """The features are the columns of the files, and neither the picture nor the licences are taken for data."""
    from datasets import Features, load_dataset  # noqa: PLC0415  # takes seconds
    from huggingface_hub import DatasetCard, DatasetCardData  # noqa: PLC0415

    write(tmp_path, licenses=Counter({("Own",): 2}))

    loaded = DatasetCard.load(tmp_path / "README.md")
    assert isinstance(loaded.data, DatasetCardData)
    assert loaded.data.license == ["other"]
    listed = loaded.data.get("dataset_info")["features"]
    features = Features._from_yaml_list(listed)  # noqa: SLF001  # what datasets itself reads cards with
    assert features.arrow_schema.remove_metadata() == SCHEMA
    dataset = load_dataset(str(tmp_path), cache_dir=str(tmp_path / "cache"))
    assert dataset["train"].features == features
    assert dataset["train"]["example_id"][:] == [0, 1]


def test_a_licence_that_the_hub_does_not_list_is_told_in_a_file(tmp_path: Path) -> None:
    meta, _ = write(tmp_path, licenses=Counter({("MIT",): 1, ("Mine",): 1, (): 1}))

    assert {name: value for name, value in meta.items() if name.startswith("license")} == {
        "license": ["mit", "other", "unknown"],
        "license_name": "per-row",
        "license_link": "LICENSE.md",
    }
    assert (tmp_path / "LICENSE.md").read_text(encoding="utf-8") == "# Licences of the rows\n\nMIT.\n"


def test_a_dataset_without_rows_says_so_and_offers_no_files(tmp_path: Path) -> None:
    meta, body = write(tmp_path, rows=0, licenses=Counter(), sources=[])

    assert body == (
        "\n# Kernels: a title\n\nA row is a rollout.\n\nThis version has no rows.\n\n## A row\n\nColumns.\n\n"
        "## Limitations\n\nAll.\n"
    )
    assert {"configs", "dataset_info", "license"} & meta.keys() == set()
    assert [file.name for file in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    ("rows", "size"),
    [
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (10_000, "10K<n<100K"),
        (100_000, "100K<n<1M"),
        (1_000_000, "1M<n<10M"),
        (10_000_000, "10M<n<100M"),
    ],
)
def test_the_size_category_is_the_number_of_rows(tmp_path: Path, rows: int, size: str) -> None:
    (tmp_path / "data").mkdir()
    splits = [
        {"name": "train", "num_bytes": 0, "num_examples": rows - 1},
        {"name": "b", "num_bytes": 0, "num_examples": 1},
    ]
    write_card(tmp_path, replace(CARD, splits=splits))

    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert problems(text) == ([], [])
    assert yaml.safe_load(text.split("---\n")[1])["size_categories"] == [size]


def test_sources_on_the_hub_are_known_by_their_revision() -> None:
    hub = [("GPUMODE/KernelBook/data/a.parquet", "f" * 40), ("GPUMODE/KernelBook/data/b.parquet", "f" * 40)]

    assert source_datasets([]) == source_datasets([("data/a.jsonl", None)]) == ["original"]
    assert source_datasets(hub) == ["GPUMODE/KernelBook"]
    assert source_datasets([*hub, ("a.jsonl", None), ("x/y", "0" * 40)]) == ["GPUMODE/KernelBook", "x/y", "original"]


def test_the_example_names_the_folder_but_no_path_of_the_machine() -> None:
    assert 'load("data/datasets/a")' in loading_text(Path("data/datasets/a"), "load({path})")
    assert 'load("a")' in loading_text(Path("/home/someone/a"), "load({path})")
