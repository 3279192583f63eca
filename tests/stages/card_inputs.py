"""What the cards of datasets are written from, besides tables: knobs and metrics."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.imports import ROOT


def card_inputs(folder: Path, rows: int, stage: str = "ingest", /, **sections: dict[str, Any]) -> dict[str, Path]:
    """Write the committed knobs, with others for some sections, and the metrics of stages.

    Args:
        folder: where; the stage is run in it.
        rows: how many the stage kept; one more was rejected.
        stage: that read the source.
        sections: knobs by section.

    Returns:
        The metrics files by flag.
    """
    knobs = yaml.safe_load((ROOT / "params.yaml").read_text())
    changed = {name: knobs[name] | values for name, values in sections.items()}
    (folder / "params.yaml").write_text(yaml.safe_dump(knobs | changed))
    metrics = {
        "ingested": (stage, {"rows_in": rows + 1, "kept": rows, "dropped_rejected": 1}),
        "decontaminated": ("decontaminate", {"problems": {"mini": 8}, "contaminated": {"mini": 1}}),
    }
    for name, found in metrics.values():
        (folder / f"{name}.json").write_text(json.dumps(found))
    return {flag: folder / f"{name}.json" for flag, (name, _) in metrics.items()}


def sections(dataset: Path) -> dict[str, str]:
    """The text of each section of a dataset's card, by heading."""
    text = (dataset / "README.md").read_text(encoding="utf-8")
    return dict(part.rstrip("\n").split("\n\n", 1) for part in text.split("\n## ")[1:])


def example(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the code under `How to use` defines when it runs where the folder of a dataset is."""
    import datasets  # noqa: PLC0415  # takes seconds

    monkeypatch.chdir(dataset.parent)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", dataset.parent / "cache")
    scope: dict[str, Any] = {}
    exec(sections(dataset)["How to use"].split("```python\n")[1].split("```")[0], scope)
    return scope
