"""What a published card says, beyond what `build` wrote."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from stages.commands.publishing.card import Place, Release, completed, parts
from stages.commands.publishing.checkout import Checkout
from stages.commands.publishing.lineage import Lineage
from stages.commands.publishing.manifest import Changes, Former
from stages.shared.cards.dataset_card import loading_text

HUB = Place("me/name", "v1", "https://huggingface.co/datasets/me/name", "me/name")
FOLDER = Place("./name/v1", None, None, "/shared/name/v1")
USE = 'dataset = load_dataset({path}, split="train")\ndataset[0]'


def card(place: Place = HUB, model: str | None = "glm4_7", history: Sequence[Former] = ()) -> str:
    """Of a dataset without anything special."""
    release = Release(
        repository="name",
        rev="v1",
        place=place,
        checkout=Checkout("a" * 40, "2026", (), None, pushed=True),
        lineage=Lineage("build", {}, {}, {}, {}),
        rows=1,
        changes=Changes(1, 2, 0) if history else None,
        history=history,
        trainers=[],
        model=model,
    )
    meta = yaml.safe_dump({"pretty_name": "Rollouts, unique", "dataset_info": {"download_size": 1}})
    use = loading_text(Path("data/datasets/unique"), USE)
    return completed(f"---\n{meta}---\n\n# Rollouts\n\nA row.\n\n## How to use\n\n{use}\n", release, 12345)


def test_it_tells_how_many_bytes_are_downloaded() -> None:
    assert parts(card())[0]["dataset_info"] == {"download_size": 12345}


def test_it_says_where_the_dataset_is_loaded_from() -> None:
    """The path of the clone that wrote it means nothing to its readers."""
    start = "```python\nfrom datasets import load_dataset\n\n"

    assert f'From the Hub:\n\n{start}dataset = load_dataset("me/name", revision="v1", split="train")\n' in card()
    assert f'all datasets:\n\n{start}dataset = load_dataset("./name/v1", split="train")\n' in card(FOLDER)
    assert "data/datasets" not in card() + card(FOLDER)


def test_it_names_the_model_where_the_rows_are_of_one() -> None:
    found = card()

    assert parts(found)[0]["pretty_name"] == "Rollouts, unique (glm4_7)"
    assert "\n# Rollouts (glm4_7)\n\nThe rollouts are those of the model `glm4_7`.\n\nA row.\n" in found
    assert r"title = {Rollouts, unique (glm4\_7), v1}," in found
    assert "glm" not in card(model=None)


def test_it_shows_the_latest_versions() -> None:
    history = [Former([f"h{number}"], 4, None) for number in range(2000, 0, -1)]

    shown = card(history=history)

    assert "| v1 | 1 | 1 row added, 2 removed, 0 changed |\n| h2000 | 4 |" in shown
    assert shown.count("the first version") == 20
    assert "`manifest.json` has 1,980 more before them." in shown
    assert "more before them" not in card(history=history[:20])
