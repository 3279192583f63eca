"""Write the source dataset: every rollout, with the split and the contamination of its module.

Reads `records`, `clusters`, `splits` and `contamination`, never the selection: no cutoff changes what was ingested.
"""

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa

from stages.shared import stage, table
from stages.shared.accounting import balance
from stages.shared.atomic import replacing
from stages.shared.cards import limitations, recipe
from stages.shared.cards.card_statistics import rewards_text
from stages.shared.cards.column_meanings import ROLLOUTS, completion_meaning
from stages.shared.cards.dataset_card import write_card
from stages.shared.cards.source_set_card import RowCounts, SourceSet, source_set_card
from stages.shared.cards.svg_picture import Histogram
from stages.shared.completion import CompletionParams
from stages.shared.datasets.dataset import SplitWriter
from stages.shared.datasets.module_fates import ModuleFates
from stages.shared.datasets.published import RECORD_COLUMNS, published_row, schema

ADDED = [("row_id", pa.string()), ("repeat_of", pa.string()), ("split", pa.string()), ("contaminated", pa.bool_())]
READS = [*RECORD_COLUMNS, "repeat_of", "module_id", "source", "source_revision"]
SHOWN_SECTIONS = ("ingest", "decontaminate", "split", "completion")
"""Sections of the params file that the card shows."""
SUMMARY = (
    "Every rollout that was ingested, good or bad, in one `train` split. The column `split` says to which side of the "
    "trained datasets a row's module belongs, `contaminated` whether it stands in a benchmark."
)


def told(rows: RowCounts, columns: pa.Schema, knobs: recipe.Knobs, ingested: Path) -> SourceSet:
    """What the card says.

    Args:
        rows: what was counted of the rows.
        columns: of the data.
        knobs: the sections of `SHOWN_SECTIONS`.
        ingested: metrics of `ingest`.
    """
    read = json.loads(ingested.read_text())
    n_rows = rows.names.total()
    completion = completion_meaning(knobs["completion"]["reasoning_key"], reasoning=True)
    return SourceSet(
        title="KernelBook rollouts, all",
        summary=SUMMARY,
        schema=columns,
        meanings=ROLLOUTS | {"completion": completion},
        licenses_place="info.",
        name="Reasoning",
        histogram=Histogram("Rewards", rows.values),
        statistics=rewards_text(rows.values, n_rows - len(rows.values)),
        accounts=[read],
        start="rollouts of the source",
        reader="ingest",
        steps=[recipe.read_rollouts(knobs, read)],
        last_step=f"`build_evals` writes all of them; `completion` is {completion}.",
        knobs=knobs,
        limits=[
            *limitations.of_trial(knobs),
            *limitations.of_rewards(read),
            *limitations.of_models(read),
            *limitations.of_copies(dropped=False),
            *limitations.of_reasoning(n_rows, rows.names["without"]),
        ],
    )


def run(
    completion: CompletionParams,
    *,
    records: Path,
    clusters: Path,
    splits: Path,
    contamination: Path,
    ingested: Path,
    decontaminated: Path,
    dataset: Path,
) -> stage.Metrics:
    """Build the dataset of all rollouts; `ingested` and `decontaminated` are metrics, for the card."""
    fates = ModuleFates(clusters, splits, contamination)
    key = completion.reasoning_key
    columns = schema(key, reasoning=True, more=ADDED)
    n_rows = table.read(records, ["row_id"]).num_rows
    rows = RowCounts()
    with replacing(dataset) as folder:
        folder.mkdir()
        writer = SplitWriter(folder, "train", n_rows, columns)
        for batch in table.batches(records, READS, rows=500):
            for record in batch.to_pylist():
                fate = fates.of(record["module_id"])
                row = published_row(record, key, reasoning=True)
                writer.write(row | {"repeat_of": record["repeat_of"], **fate})
                rows.add(record | fate, "with" if record["reasoning"] else "without", record["reward"])
        files = [writer.close()] if n_rows else []
        knobs = stage.shown_knobs(SHOWN_SECTIONS)
        made = told(rows, columns, knobs, ingested)
        card = source_set_card(made, rows, files, dataset, clusters=clusters, decontaminated=decontaminated)
        write_card(folder, card)
    return {**balance(Counter({None: n_rows})), "split": dict(rows.splits)}


if __name__ == "__main__":
    stage.main(run)
