"""Write one dataset: the selected rows, with everything that a trainer and a reader need.

Reads `selection` and the tables whose columns it copies; writes a dataset folder with `train` and `validation` and its
card. It proves that the splits do not leak before it writes a row.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.shared import stage, table
from stages.shared.accounting import account
from stages.shared.atomic import replacing
from stages.shared.cards.dataset_card import write_card
from stages.shared.cards.variant_card import Facts, variant_card
from stages.shared.completion import CompletionParams
from stages.shared.datasets.dataset import SplitWriter
from stages.shared.datasets.leakage import check_selection
from stages.shared.datasets.published import RECORD_COLUMNS, published_row, schema
from stages.shared.datasets.variants import Variant, Variants

SPLITS = ("train", "validation")
ADDED = [
    ("difficulty", pa.string()),
    ("evaluation_raw", pa.string()),
    ("row_id", pa.string()),
    ("group_id", pa.string()),
    ("n_total_tokens", pa.int64()),
]
SHOWN_SECTIONS = (
    "ingest",
    "verify",
    "filter_reward",
    "rate_difficulty",
    "dedupe",
    "decontaminate",
    "measure_lengths",
    "split",
    "select",
    "completion",
)
"""Sections of the params file that the card shows."""


def published(selection: pa.Table, difficulty: Path, lengths: Path, name: str, variant: Variant) -> pa.Table:
    """The rows of a dataset with their columns of the narrow tables, in input order."""
    tokens = table.read(lengths, ["row_id", "n_total_tokens", "n_total_tokens_no_reasoning"])
    table.assert_same_keys(tokens["row_id"], selection["row_id"], "lengths and selection")
    counted = tokens["n_total_tokens" if variant.reasoning else "n_total_tokens_no_reasoning"]
    rows = selection.append_column("n_total_tokens", counted).filter(selection[name].is_null())
    rated = table.read(difficulty, ["row_id", "difficulty", "rater", "evaluation_raw"])
    place = {row_id: i for i, row_id in enumerate(rated["row_id"].to_pylist())}
    ratings = rated.take(pa.array([place[row_id] for row_id in rows["row_id"].to_pylist()], pa.int64()))
    for column in ("difficulty", "rater", "evaluation_raw"):
        rows = rows.append_column(column, ratings[column])
    return rows.select([*(column for column, _ in ADDED), "rater", "split"])


def chosen_records(records: Path, chosen: pa.ChunkedArray) -> Iterator[dict[str, Any]]:
    """The records of the chosen positions, one at a time."""
    position = 0
    for batch in table.batches(records, RECORD_COLUMNS, rows=500):
        yield from batch.filter(chosen[position : position + batch.num_rows].combine_chunks()).to_pylist()
        position += batch.num_rows


def told_columns(records: Path, verdicts: Path, chosen: pa.ChunkedArray) -> tuple[pa.Table, pa.Table]:
    """What the card tells of the chosen records: columns of `records` and of `verdicts`."""
    told = table.read(records, ["row_id", "reward", "licenses", "source", "source_revision"])
    checked = table.read(verdicts, ["row_id", "verdict", "flags"])
    table.assert_same_keys(told["row_id"], checked["row_id"], "records and verdicts")
    return told.filter(chosen), checked.filter(chosen)


def run(
    variants: Variants,
    completion: CompletionParams,
    *,
    variant: str,
    records: Path,
    selection: Path,
    verdicts: Path,
    difficulty: Path,
    lengths: Path,
    clusters: Path,
    ingested: Path,
    decontaminated: Path,
    dataset: Path,
) -> stage.Metrics:
    """Build one dataset; `ingested` and `decontaminated` are metrics, for the card."""
    wanted = variants.root[variant]
    key, reasoning = completion.reasoning_key, wanted.reasoning
    decided = table.read(selection, ["row_id", "group_id", "split", *variants.root])
    leaks = check_selection(decided, records, clusters, variants.root)
    rows = published(decided, difficulty, lengths, variant, wanted)
    chosen = decided[variant].is_null()
    columns = schema(key, reasoning=reasoning, more=ADDED)
    sizes = Counter(rows["split"].to_pylist())
    without_reasoning = 0
    counted = account(decided[variant].to_pylist())
    with replacing(dataset) as folder:
        folder.mkdir()
        writers = {split: SplitWriter(folder, split, sizes[split], columns) for split in SPLITS if sizes[split]}
        for record, added in zip(chosen_records(records, chosen), rows.to_pylist(), strict=True):
            assert record["row_id"] == added["row_id"], "records and selection are not in the same order"
            writers[added["split"]].write(published_row(record, key, reasoning=reasoning) | added)
            without_reasoning += not record["reasoning"]
        splits = [writer.close() for writer in writers.values()]
        told, checked = told_columns(records, verdicts, chosen)
        facts = Facts(
            knobs=stage.shown_knobs(SHOWN_SECTIONS),
            account=counted,
            rows=rows,
            told=told,
            verdicts=checked,
            leaks=leaks,
            without_reasoning=without_reasoning,
            ingested=json.loads(ingested.read_text()),
            decontaminated=json.loads(decontaminated.read_text()),
        )
        write_card(folder, variant_card(variant, wanted, dataset, columns, splits, facts=facts))
    return {
        **counted,
        "splits": {split["name"]: split["num_examples"] for split in splits},
        "leakage_checked": leaks,
    }


if __name__ == "__main__":
    stage.main(run)
