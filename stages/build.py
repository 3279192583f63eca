"""Write one dataset: the selected rows, with everything that a trainer and a reader need.

Reads `selection` and the tables whose columns it copies; writes a dataset folder with `train` and `validation` and its
card. It proves that the splits do not leak before it writes a row.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.shared import stage, table
from stages.shared.accounting import account
from stages.shared.atomic import replacing
from stages.shared.completion import CompletionParams
from stages.shared.dataset import SplitWriter
from stages.shared.dataset_card import card, counts_table, knobs_table, lengths_text, rewards_text
from stages.shared.leakage import check_selection
from stages.shared.length_stats import length_stats
from stages.shared.published import RECORD_COLUMNS, published_row, schema
from stages.shared.variants import Variant, Variants

SPLITS = ("train", "validation")
ADDED = [
    ("difficulty", pa.string()),
    ("evaluation_raw", pa.string()),
    ("row_id", pa.string()),
    ("group_id", pa.string()),
    ("n_total_tokens", pa.int64()),
]
SHOWN_SECTIONS = (
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
SUMMARY = {
    "kept": "Rollouts that turn a PyTorch module into Triton kernels, with a reward above the cutoff.",
    "unique": "The best rollout of each PyTorch module, turned into Triton kernels, with a reward above the cutoff.",
}
WITH_REASONING = "The assistant message has the answer in `content` and the model's reasoning beside it."
WITHOUT_REASONING = "The assistant message has the answer alone, in `<answer>` tags, without reasoning."


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


def statistics(fates: pa.Table, rows: pa.Table, sources: pa.Table, leaks: dict[str, int]) -> dict[str, str]:
    """Sections of the card.

    Args:
        fates: one column, the drop reason of every record.
        rows: `published`.
        sources: `reward`, `licenses`, `source`, `source_revision` of the published rows.
        leaks: values checked, by trait.
    """
    funnel = account(fates.column(0).to_pylist())
    licenses = Counter(name for names in sources["licenses"].to_pylist() for name in names or ["unknown"])
    levels = Counter(zip(rows["difficulty"].to_pylist(), rows["rater"].to_pylist(), strict=True))
    files = Counter(
        " at ".join(filter(None, pair))
        for pair in zip(sources["source"].to_pylist(), sources["source_revision"].to_pylist(), strict=True)
    )
    checked = ", ".join(f"{n:,} values of {trait}" for trait, n in leaks.items())
    return {
        "Rows": counts_table("rows", {**funnel, **Counter(rows["split"].to_pylist())}),
        "Leakage": f"Checked over all datasets of this version together: {checked}; none stands in two splits.",
        "Rewards": rewards_text(sources["reward"].to_pylist()),
        "Difficulty": counts_table(
            "difficulty, rater", {f"{level}, {rater}": n for (level, rater), n in sorted(levels.items())}
        ),
        "Lengths": lengths_text(length_stats(rows["n_total_tokens"].to_pylist())),
        "Licences": counts_table("licence of the source", dict(sorted(licenses.items()))),
        "Sources": counts_table("source", dict(sorted(files.items()))),
        "Parameters": knobs_table({name: stage.read_section(name, stage.Knobs).root for name in SHOWN_SECTIONS}),
    }


def run(
    variants: Variants,
    completion: CompletionParams,
    *,
    variant: str,
    records: Path,
    selection: Path,
    difficulty: Path,
    lengths: Path,
    clusters: Path,
    dataset: Path,
) -> stage.Metrics:
    """Build one dataset."""
    wanted = variants.root[variant]
    key, reasoning = completion.reasoning_key, wanted.reasoning
    decided = table.read(selection, ["row_id", "group_id", "split", *variants.root])
    leaks = check_selection(decided, records, clusters, variants.root)
    rows = published(decided, difficulty, lengths, variant, wanted)
    chosen = decided[variant].is_null()
    columns = schema(key, reasoning=reasoning, more=ADDED)
    sizes = Counter(rows["split"].to_pylist())
    with replacing(dataset) as folder:
        folder.mkdir()
        writers = {split: SplitWriter(folder, split, sizes[split], columns) for split in SPLITS if sizes[split]}
        for record, added in zip(chosen_records(records, chosen), rows.to_pylist(), strict=True):
            assert record["row_id"] == added["row_id"], "records and selection are not in the same order"
            writers[added["split"]].write(published_row(record, key, reasoning=reasoning) | added)
        splits = [writer.close() for writer in writers.values()]
        sources = table.read(records, ["reward", "licenses", "source", "source_revision"]).filter(chosen)
        told = statistics(decided.select([variant]), rows, sources, leaks)
        summary = f"{SUMMARY[wanted.rows]} {WITH_REASONING if reasoning else WITHOUT_REASONING}"
        licenses = {name for names in sources["licenses"].to_pylist() for name in names or ["unknown"]}
        text = card(
            f"KernelBook rollouts, {variant}", summary, folder, columns, splits=splits, licenses=licenses, sections=told
        )
        (folder / "README.md").write_text(text, encoding="utf-8")
    return {
        **account(decided[variant].to_pylist()),
        "splits": {split["name"]: split["num_examples"] for split in splits},
        "leakage_checked": leaks,
    }


if __name__ == "__main__":
    stage.main(run)
