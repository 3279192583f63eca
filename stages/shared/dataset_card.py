"""The README of a dataset folder: the YAML that the Hub and `datasets` read, then what a person wants to know."""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

_HUB_LICENSES = frozenset(
    [
        "mit",
        "apache-2.0",
        "bsd-2-clause",
        "bsd-3-clause",
        "gpl-2.0",
        "gpl-3.0",
        "lgpl-2.1",
        "lgpl-3.0",
        "agpl-3.0",
        "mpl-2.0",
        "isc",
        "unlicense",
        "cc0-1.0",
        "cc-by-4.0",
    ]
)
_SIZES = ((1000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def card(
    title: str,
    summary: str,
    folder: Path,
    schema: pa.Schema,
    *,
    splits: Sequence[Mapping[str, Any]],
    licenses: Collection[str],
    sections: Mapping[str, str],
) -> str:
    """Write a card.

    Args:
        title: name of the dataset.
        summary: a paragraph on what a row is.
        folder: where the data files already are, for their size.
        schema: columns of the data.
        splits: `name`, `num_bytes` and `num_examples` of each split that has rows.
        licenses: licences of the sources of the rows.
        sections: Markdown by heading.

    Returns:
        The text of `README.md`. Without any row it has no `configs`, since there is no file to load.
    """
    rows = sum(split["num_examples"] for split in splits)
    names = sorted({name.lower() for name in licenses})
    meta: dict[str, Any] = {
        "language": ["en"],
        "license": names if names and set(names) <= _HUB_LICENSES else "other",
        "pretty_name": title,
        "size_categories": [next((size for limit, size in _SIZES if rows < limit), "n>1M")],
        "source_datasets": ["original"],
        "tags": ["triton", "pytorch", "gpu-kernels", "code"],
        "task_categories": ["text-generation"],
    }
    if meta["license"] == "other":
        meta |= {"license_name": "per-row", "license_link": "README.md"}
    if splits:
        files = [{"split": split["name"], "path": f"data/{split['name']}-*"} for split in splits]
        meta["configs"] = [{"config_name": "default", "default": True, "data_files": files}]
        meta["dataset_info"] = {
            "config_name": "default",
            "features": [_feature(column) for column in schema],
            "splits": [dict(split) for split in splits],
            "download_size": sum(file.stat().st_size for file in sorted((folder / "data").iterdir())),
            "dataset_size": sum(split["num_bytes"] for split in splits),
        }
    else:
        summary += "\n\nThis version has no rows."
    body = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections.items())
    return f"---\n{yaml.safe_dump(meta, sort_keys=False, allow_unicode=True)}---\n\n# {title}\n\n{summary}\n\n{body}\n"


def counts_table(what: str, counts: Mapping[str, int]) -> str:
    """A table of names and numbers."""
    return markdown_table([what, "n"], counts.items())


def knobs_table(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """The knobs of sections of the params file; of an absolute path only the name is told."""
    rows = [(f"{section}.{knob}", value) for section, knobs in sections.items() for knob, value in knobs.items()]
    return markdown_table(["knob", "value"], [(knob, _portable(value)) for knob, value in rows])


def rewards_text(rewards: Sequence[float]) -> str:
    """Range and mean of the rewards."""
    if not rewards:
        return "None."
    mean = math.fsum(rewards) / len(rewards)
    return f"From {min(rewards):.3f} to {max(rewards):.3f}, {mean:.3f} on average, as their source gave them."


def lengths_text(stats: Mapping[str, Any]) -> str:
    """Percentiles and recommended sequence lengths from `length_stats`."""
    if not stats["rows"]:
        return "None."
    recommended = " ".join(
        f"`seq_len` {n:,} holds {share} % of the rows whole." for share, n in stats["recommended_seq_len"].items()
    )
    percentiles = markdown_table(["percentile", "tokens"], stats["percentiles"].items())
    return f"{percentiles}\n\n{stats['total_tokens']:,} tokens in all, counted through the chat template. {recommended}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; texts from data cannot break out of their cell."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell(value) for value in line) + " |" for line in lines)


def cell(value: object) -> str:
    """A value as one line of harmless Markdown."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return re.sub(r"([|<>`\[\]\\])", r"\\\1", " ".join(str(value).split()))


def _feature(column: pa.Field) -> dict[str, Any]:
    return {"name": column.name, **_type(column.type)}


def _type(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        inner = _type(kind.value_type)
        return {"list": inner.get("struct") or inner["dtype"]}
    if pa.types.is_struct(kind):
        return {"struct": [_feature(kind.field(i)) for i in range(kind.num_fields)]}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind))}


def _portable(value: object) -> object:
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
