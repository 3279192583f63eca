"""The card of a source set: rows for training and for validation in one split, told apart by their columns."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.shared import table
from stages.shared.cards import limitations, recipe
from stages.shared.cards.card_statistics import sources_table
from stages.shared.cards.column_meanings import columns_table
from stages.shared.cards.dataset_card import Card, Source, loading_text
from stages.shared.cards.drop_reasons import funnel_text
from stages.shared.cards.hub_licenses import licenses_text
from stages.shared.cards.markdown import bullets, counts_table, numbered
from stages.shared.cards.svg_picture import Bars, Histogram

USE = """\
dataset = load_dataset({path}, split="train")
trainable = dataset.filter(
    lambda split, contaminated: split == "train" and not contaminated, input_columns=["split", "contaminated"]
)"""


@dataclass(frozen=True)
class RowCounts:
    """What is counted of the rows while they are written."""

    names: Counter[str] = field(default_factory=Counter)
    """What this set has besides the others: the writer, or whether there is reasoning."""
    splits: Counter[str] = field(default_factory=Counter)
    benchmarks: Counter[str] = field(default_factory=Counter)
    licenses: Counter[tuple[str, ...]] = field(default_factory=Counter)
    sources: Counter[Source] = field(default_factory=Counter)
    values: list[float] = field(default_factory=list)
    """What the histogram shows."""

    def add(self, row: Mapping[str, Any], name: str, value: float | None) -> None:
        """Count one row with the columns `split`, `contaminated`, `licenses`, `source` and `source_revision`."""
        self.names[name] += 1
        self.splits[row["split"]] += 1
        self.benchmarks["yes" if row["contaminated"] else "no"] += 1
        self.licenses[tuple(row["licenses"] or ())] += 1
        self.sources[row["source"], row["source_revision"]] += 1
        if value is not None:
            self.values.append(value)


@dataclass(frozen=True)
class SourceSet:
    """What distinguishes one source set from another."""

    title: str
    summary: str
    schema: pa.Schema
    meanings: Mapping[str, str]
    """Of the columns."""
    licenses_place: str
    """What comes before the names of the columns that tell of a row's licence: `info.` or nothing."""
    name: str
    """Heading of what `RowCounts.names` counts."""
    histogram: Histogram
    statistics: str
    """The histogram in words."""
    accounts: Sequence[Mapping[str, Any]]
    """From the rows of the source to those of the set, as `accounting` counts them."""
    start: str
    """What the rows of the source are."""
    reader: str
    """The stage that read them."""
    steps: Sequence[str]
    """How its rows came about; what is common to source sets is added."""
    last_step: str
    knobs: recipe.Knobs
    """The sections of the params file that it shows."""
    limits: Sequence[str]
    """Its limitations; what is common to source sets is added."""


def source_set_card(
    made: SourceSet,
    rows: RowCounts,
    splits: Sequence[Mapping[str, Any]],
    dataset: Path,
    *,
    clusters: Path,
    decontaminated: Path,
) -> Card:
    """The card of a source set.

    Args:
        made: what it is.
        rows: what was counted of its rows.
        splits: as `SplitWriter.close` returns them.
        dataset: where it will be loaded from.
        clusters: for the traits of modules.
        decontaminated: metrics of `decontaminate`.
    """
    compared = json.loads(decontaminated.read_text())
    traits = {name: len(set(table.column(clusters, name))) for name in ("code_hash", "cluster_id")}
    counts = {made.name: rows.names, "Split of the module": rows.splits, "Module in a benchmark": rows.benchmarks}
    ordered = {what: dict(sorted(found.items())) for what, found in counts.items()}
    limits = [
        limitations.SOURCE_SET,
        *made.limits,
        *limitations.of_groups(traits),
        *limitations.of_benchmarks(made.knobs, compared),
        *limitations.of_licenses(rows.licenses),
    ]
    tables = [counts_table(what.lower(), found) for what, found in ordered.items()]
    return Card(
        title=made.title,
        summary=made.summary,
        schema=made.schema,
        splits=splits,
        licenses=rows.licenses,
        sources=rows.sources.keys(),
        panels=[made.histogram, *(Bars(what, found) for what, found in ordered.items())],
        sections={
            "A row": columns_table(made.schema, made.meanings),
            "How to use": loading_text(dataset, USE),
            "How it was made": numbered(
                [*made.steps, recipe.compared(made.knobs, compared), recipe.split(made.knobs), made.last_step]
            ),
            "Funnel": funnel_text(made.accounts, made.start, made.reader),
            "Statistics": "\n\n".join([made.statistics, *tables]),
            "Licences": licenses_text(rows.licenses, made.licenses_place),
            "Limitations": bullets(limits),
            "Sources": sources_table(rows.sources),
            "Parameters": recipe.knobs_table(made.knobs),
        },
    )
