"""The card of a published version: what `build` wrote, and what only `publish` knows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from stages.commands.publishing.checkout import Checkout
from stages.commands.publishing.lineage import Lineage
from stages.commands.publishing.manifest import Changes, Former
from stages.shared.cards.dataset_card import loaded_from
from stages.shared.cards.markdown import cell, code, markdown_table, python_block, rows_text

_SHOWN = 20
"""Former versions; `manifest.json` has all."""
_TITLE = re.compile(r"^# .*$", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """Where a version is found."""

    name: str
    """What `load_dataset` takes, as a card may tell it: `org/name`, or a path from the folder of all datasets.

    A path begins with `./`: `load_dataset` looks on the Hub for `name/rev` where there is no such folder.
    """
    revision: str | None
    """What `load_dataset` takes as `revision`; None for a folder, which is one version."""
    url: str | None
    """Of its page on the Hub."""
    address: str
    """What `load_dataset` takes on this machine."""


@dataclass(frozen=True)
class Release:
    """What `publish` knows of a version."""

    repository: str
    """Its name without an owner."""
    rev: str
    place: Place
    checkout: Checkout
    lineage: Lineage
    rows: int
    changes: Changes | None
    history: Sequence[Former]
    trainers: Sequence[str]
    """Paths of the trainer configurations."""
    model: str | None
    """That wrote the rollouts; None for a dataset that has none."""


def completed(built: str, release: Release, download_size: int) -> str:
    """The card with the model in its title, the place in how to use it, and the sections of a release at its end.

    Raises:
        ValueError: the card has no YAML header.
    """
    meta, body = parts(built)
    if "dataset_info" in meta:
        meta["dataset_info"]["download_size"] = download_size
    if release.model:
        meta["pretty_name"] = f"{meta.get('pretty_name', release.repository)} ({release.model})"
        told = f" ({release.model})\n\nThe rollouts are those of the model {code(release.model)}."
        body = _TITLE.sub(lambda found: found[0] + told, body, count=1)
    body = loaded_from(_place(release), _arguments(release), body)
    sections = {
        "How to load": _loading(release),
        "How to reproduce": _reproducing(release),
        "Versions": _versions(release),
        "Citation": _citation(release, str(meta.get("pretty_name", release.repository))),
    }
    added = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections.items())
    header = yaml.safe_dump(meta, sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n{body.rstrip()}\n\n{added}\n"


def parts(card: str) -> tuple[dict[str, Any], str]:
    """The YAML header of a card, and what follows it.

    Raises:
        ValueError: there is no header.
    """
    before, _, rest = card.partition("---\n")
    header, end, body = rest.partition("\n---\n")
    meta = yaml.safe_load(header) if not before and end else None
    if not isinstance(meta, dict):
        raise ValueError("README.md: expected a YAML header between two lines of ---")
    return meta, body


def _loading(release: Release) -> str:
    script = f"from datasets import load_dataset\n\nload_dataset({_arguments(release)})"
    text = f"{_place(release)}\n\n{python_block(script)}"
    if release.trainers:
        listed = ", ".join(f"`{path}`" for path in release.trainers)
        text += f"\n\nConfigurations of trainers, with the recommended `seq_len`: {listed}."
    return text


def _place(release: Release) -> str:
    return "From the Hub:" if release.place.revision else "In the folder of all datasets:"


def _arguments(release: Release) -> str:
    """Of `load_dataset`."""
    place = release.place
    return f'"{place.name}"' + (f', revision="{place.revision}"' if place.revision else "")


def _reproducing(release: Release) -> str:
    checkout, lineage = release.checkout, release.lineage
    clone = [f"git clone {checkout.url} pipeline && cd pipeline"] if checkout.url else []
    lines = [*clone, f"git checkout {checkout.revision}", f"uv run dvc repro --pull {lineage.stage}"]
    tagged = f" (tag {', '.join(map(cell, checkout.tags))})" if checkout.tags else ""
    source = "" if checkout.url else " of the repository of the pipeline, which has no public address"
    text = (
        f"From git revision `{checkout.revision}`{tagged}{source}:\n\n```\n" + "\n".join(lines) + "\n```\n\n"
        "`--pull` gets what DVC tracks and the clone has not, from the remote of the pipeline. `dvc.lock` at that "
        "revision has the MD5 of every dependency of the stage; `manifest.json` has those of all stages before it, "
        "their parameters, and the SHA-256 of every file here.\n\n"
        f"{markdown_table(['dependency', 'MD5'], lineage.deps.items())}"
    )
    if lineage.sources:
        text += f"\n\nSource repositories:\n\n{markdown_table(['repository', 'commit'], lineage.sources.items())}"
    return text


def _versions(release: Release) -> str:
    rows = [(release.rev, release.rows, _told(release.changes))]
    rows += [(", ".join(former.revs), former.rows, _told(former.changes)) for former in release.history[:_SHOWN]]
    table = markdown_table(["version", "rows", "against the version before"], rows)
    rest = len(release.history) - _SHOWN
    return f"{table}\n\n`manifest.json` has {rest:,} more before them." if rest > 0 else table


def _told(changes: Changes | None) -> str:
    if changes is None:
        return "the first version"
    return f"{rows_text(changes.added)} added, {changes.removed:,} removed, {changes.changed:,} changed"


def _citation(release: Release, title: str) -> str:
    fields: Mapping[str, str | None] = {
        "title": f"{title}, {release.rev}".replace("_", r"\_"),  # a word of LaTeX
        "year": release.checkout.year,
        "howpublished": f"\\url{{{release.place.url}}}" if release.place.url else None,
        "note": f"Made from git revision {release.checkout.revision[:12]}",
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    key = f"{release.repository}-{release.rev}"
    return "\n".join(["```bibtex", f"@misc{{{key},", *lines, "}", "```"])
