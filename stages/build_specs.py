"""Write the dataset of task specifications: one row per source row of a module.

Reads `modules`, `specs`, `clusters`, `splits` and `contamination`, never the selection. Source rows with the same code
and name share a specification and keep their own repository, licences and uuid.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from stages.shared import stage, table
from stages.shared.accounting import balance
from stages.shared.atomic import replacing
from stages.shared.cards import limitations, recipe
from stages.shared.cards.column_meanings import SPECIFICATIONS
from stages.shared.cards.dataset_card import write_card
from stages.shared.cards.source_set_card import RowCounts, SourceSet, source_set_card
from stages.shared.cards.svg_picture import Histogram
from stages.shared.datasets.dataset import SplitWriter
from stages.shared.datasets.module_fates import ModuleFates
from stages.shared.records import MODULES, SOURCE_COLUMNS

COLUMNS = pa.schema(
    [
        ("prompt", pa.string()),
        *((name, pa.int64() if name == "uuid" else MODULES.field(name).type) for name in SOURCE_COLUMNS),
        ("writer", pa.string()),
        ("module_id", pa.string()),
        ("split", pa.string()),
        ("contaminated", pa.bool_()),
    ]
)
READS = [
    "module_id",
    "uuids",
    "extra",
    "source",
    "source_revision",
    *(name for name in SOURCE_COLUMNS if name != "uuid"),
]
SHOWN_SECTIONS = ("ingest_modules", "write_specs", "decontaminate", "split")
"""Sections of the params file that the card shows."""
SUMMARY = (
    "Task specifications of PyTorch modules, to be solved with Triton kernels; one row per source row, all in `train`. "
    "The column `split` says to which side of the trained datasets a row's module belongs, `contaminated` whether it "
    "stands in a benchmark. `writer` names who wrote the specification; `template` is the syntax tree put into words."
)


def source_rows(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The source rows that `ingest_modules` merged into a module, in their order, each with its own provenance."""
    extra = msgspec.json.decode(module["extra"]) if module["extra"] else {}
    copies = [{}, *extra.get("copies", [])]
    for uuid, copy in zip(module["uuids"], copies, strict=True):
        yield {**module, **{name: copy[name] for name in SOURCE_COLUMNS if name in copy}, "uuid": uuid}


def source_account(ingested: Mapping[str, Any], rows: int) -> dict[str, int]:
    """The accounting of the source rows; of `rows` the modules keep the provenance.

    Of rollouts, whose distinct modules are taken, each module has one row.
    """
    read, rejected = ingested["rows_in"], ingested.get("dropped_rejected", 0)
    return balance(Counter({None: rows, "rejected": rejected, "same_module": read - rejected - rows}), read)


def told(rows: RowCounts, counts: Counter[str | None], knobs: recipe.Knobs, ingested: Path) -> SourceSet:
    """What the card says.

    Args:
        rows: what was counted of the rows.
        counts: fates of the source rows that modules were made of.
        knobs: the sections of `SHOWN_SECTIONS`.
        ingested: metrics of `ingest_modules`.
    """
    read = json.loads(ingested.read_text())
    mean = f"{sum(rows.values) / len(rows.values):,.0f} characters on average." if rows.values else "No specifications."
    return SourceSet(
        title="Synthetic kernel tasks",
        summary=SUMMARY,
        schema=COLUMNS,
        meanings=SPECIFICATIONS,
        licenses_place="",
        name="Writer",
        histogram=Histogram("Characters of a specification", rows.values, from_zero=True),
        statistics=mean,
        accounts=[source_account(read, counts.total()), balance(counts)],
        start="rows of the source",
        reader="ingest_modules",
        steps=[recipe.read_modules(knobs, read), recipe.specified(knobs)],
        last_step="`build_specs` writes a row for each source row of a module; they share its specification.",
        knobs=knobs,
        limits=limitations.of_writers(rows.names),
    )


def run(
    *,
    modules: Path,
    specs: Path,
    clusters: Path,
    splits: Path,
    contamination: Path,
    ingested: Path,
    decontaminated: Path,
    dataset: Path,
) -> stage.Metrics:
    """Build the dataset of specifications; `ingested` and `decontaminated` are metrics, for the card."""
    fates = ModuleFates(clusters, splits, contamination)
    written = table.read(specs, ["module_id", "prompt", "writer"])
    counted = table.read(modules, ["module_id", "n_rows"])
    table.assert_same_keys(counted["module_id"], written["module_id"], "modules and specs")
    texts = {row["module_id"]: row for row in written.to_pylist()}
    sizes = zip(counted["n_rows"].to_pylist(), written["prompt"].to_pylist(), strict=True)
    counts = Counter[str | None]()
    for n_rows, prompt in sizes:
        counts["no_spec" if prompt is None else None] += n_rows
    rows = RowCounts()
    with replacing(dataset) as folder:
        folder.mkdir()
        writer = SplitWriter(folder, "train", counts[None], COLUMNS)
        for batch in table.batches(modules, READS):
            for row in (
                row
                for module in batch.to_pylist()
                if texts[module["module_id"]]["prompt"]
                for row in source_rows(module)
            ):
                described = row | texts[row["module_id"]] | fates.of(row["module_id"])
                writer.write({name: described[name] for name in COLUMNS.names})
                rows.add(described, described["writer"], len(described["prompt"]))
        files = [writer.close()] if counts[None] else []
        knobs = stage.shown_knobs(SHOWN_SECTIONS)
        made = told(rows, counts, knobs, ingested)
        card = source_set_card(made, rows, files, dataset, clusters=clusters, decontaminated=decontaminated)
        write_card(folder, card)
    return {**balance(counts), "split": dict(rows.splits), "writer": dict(rows.names)}


if __name__ == "__main__":
    stage.main(run)
