"""The card of a dataset folder: the YAML that the Hub and `datasets` read, then what a person wants to know.

The YAML has the fields of https://github.com/huggingface/hub-docs/blob/main/datasetcard.md.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from stages.shared.cards.hub_licenses import Licenses, hub_licenses
from stages.shared.cards.markdown import cell, python_block
from stages.shared.cards.svg_picture import Bars, Histogram, label, picture

PICTURE = "assets/statistics.svg"
NEED_ROWS = frozenset({"How to use", "Statistics", "Licences"})
"""Sections that say nothing where there are no rows."""
_SIZES = [
    (10**3, "n<1K"),
    *((10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M")),
    *((10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B")),
]
_HUB_DATASET = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_OFFLINE = "Offline, from the folder that the pipeline writes:"
_LOADING = re.compile(rf'{_OFFLINE}(?P<between>\n\n```python\n[^`]*?load_dataset\()"(?:[^"\\\n]|\\.)*"')
Source = tuple[str, str | None]
"""Where a row comes from: a file or a Hub dataset, and its revision."""


@dataclass(frozen=True)
class Card:
    """What a card is written from."""

    title: str
    summary: str
    """A paragraph on what a row is."""
    schema: pa.Schema
    splits: Sequence[Mapping[str, Any]]
    """`name`, `num_bytes` and `num_examples` of each split that has rows."""
    licenses: Licenses
    sources: Collection[Source]
    panels: Sequence[Histogram | Bars]
    """What the picture in the section `Statistics` shows."""
    sections: Mapping[str, str]
    """Markdown by heading, in order; those of `NEED_ROWS` are left out where there are none."""


def write_card(folder: Path, card: Card) -> None:
    """Write `README.md` and what it refers to, beside the data files that are already there.

    That is `assets/statistics.svg`, and `LICENSE.md` where rows have licences that the Hub does not list. The card of a
    dataset without rows refers to neither, and has no `configs`, since there is no file to load.
    """
    sections, summary = dict(card.sections), card.summary
    if card.splits:
        described = [_described(panel) for panel in card.panels]
        (folder / PICTURE).parent.mkdir()
        (folder / PICTURE).write_text(picture(card.panels, f"{card.title}. {'; '.join(described)}"), encoding="utf-8")
        sections["Statistics"] = f"![{'; '.join(map(cell, described))}]({PICTURE})\n\n{sections['Statistics']}"
        if "other" in hub_licenses(card.licenses):
            text = f"# Licences of the rows\n\n{sections['Licences']}\n"
            (folder / "LICENSE.md").write_text(text, encoding="utf-8")
    else:
        summary += "\n\nThis version has no rows."
        sections = {heading: text for heading, text in sections.items() if heading not in NEED_ROWS}
    front = yaml.safe_dump(_metadata(folder, card), sort_keys=False, allow_unicode=True)
    body = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections.items())
    text = f"---\n{front}---\n\n# {card.title}\n\n{summary}\n\n{body}\n"
    (folder / "README.md").write_text(text, encoding="utf-8")


def loading_text(folder: Path, use: str) -> str:
    """How to read a dataset of this folder, in a clone of the pipeline; in `use` stands `{path}` for the folder."""
    told = folder.name if folder.is_absolute() else folder.as_posix()
    return f"{_OFFLINE}\n\n" + python_block(f"from datasets import load_dataset\n\n{use.format(path=json.dumps(told))}")


def loaded_from(where: str, arguments: str, card: str) -> str:
    """A card with another place in what `loading_text` wrote: `arguments` are those of `load_dataset`, as code."""
    return _LOADING.sub(lambda found: f"{where}{found['between']}{arguments}", card, count=1)


def _metadata(folder: Path, card: Card) -> dict[str, Any]:
    rows = sum(split["num_examples"] for split in card.splits)
    licenses = hub_licenses(card.licenses)
    meta: dict[str, Any] = {"language": ["en"]}
    if licenses:
        meta["license"] = licenses
    if "other" in licenses:
        meta |= {"license_name": "per-row", "license_link": "LICENSE.md"}
    meta |= {
        "pretty_name": card.title,
        "annotations_creators": ["machine-generated"],
        "size_categories": [next((size for limit, size in _SIZES if rows < limit), "1B<n<10B")],
        "source_datasets": source_datasets(card.sources),
        "tags": ["triton", "pytorch", "gpu-kernels", "code", "synthetic"],
        "task_categories": ["text-generation"],
    }
    if card.splits:
        files = [{"split": split["name"], "path": f"data/{split['name']}-*"} for split in card.splits]
        meta["configs"] = [{"config_name": "default", "default": True, "data_files": files}]
        meta["dataset_info"] = {
            "config_name": "default",
            "features": [_feature(column) for column in card.schema],
            "splits": [dict(split) for split in card.splits],
            "download_size": sum(file.stat().st_size for file in sorted((folder / "data").iterdir())),
            "dataset_size": sum(split["num_bytes"] for split in card.splits),
        }
    return meta


def source_datasets(sources: Collection[Source]) -> list[str]:
    """The Hub datasets among the sources, known by their revision; files of another kind are `original`."""
    found = {repo[0] for source, revision in sources if revision and (repo := _HUB_DATASET.match(source))}
    own = {"original" for source, revision in sources if not (revision and _HUB_DATASET.match(source))}
    return sorted(found) + sorted(own) if found else ["original"]


def _described(panel: Histogram | Bars) -> str:
    if isinstance(panel, Bars):
        counts = ", ".join(f"{name} {n:,}" for name, n in panel.counts.items())
        return f"{panel.title}: {counts or 'none'}"
    span = f"from {label(min(panel.values))} to {label(max(panel.values))}" if panel.values else "none"
    return ", ".join([f"{panel.title}: {span}", *panel.marks])


def _feature(column: pa.Field) -> dict[str, Any]:
    return {"name": column.name, **_type(column.type)}


def _type(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        inner = _type(kind.value_type)
        return {"list": inner.get("struct") or inner["dtype"]}
    if pa.types.is_struct(kind):
        return {"struct": [_feature(kind.field(i)) for i in range(kind.num_fields)]}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind))}
