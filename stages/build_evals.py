"""Write the source dataset: every rollout, with the split and the contamination of its module.

Reads `records`, `clusters`, `splits` and `contamination`, never the selection: no cutoff changes what was ingested.
"""

from collections import Counter
from pathlib import Path

import pyarrow as pa

from stages.shared import stage, table
from stages.shared.accounting import balance
from stages.shared.atomic import replacing
from stages.shared.completion import CompletionParams
from stages.shared.dataset import SplitWriter
from stages.shared.dataset_card import card, counts_table, rewards_text
from stages.shared.module_fates import ModuleFates
from stages.shared.published import RECORD_COLUMNS, published_row, schema

ADDED = [("row_id", pa.string()), ("repeat_of", pa.string()), ("split", pa.string()), ("contaminated", pa.bool_())]
SUMMARY = (
    "Every rollout that was ingested, good or bad, in one `train` split. The column `split` says to which side of the "
    "trained datasets a row's module belongs, `contaminated` whether it stands in a benchmark."
)


def run(
    completion: CompletionParams, *, records: Path, clusters: Path, splits: Path, contamination: Path, dataset: Path
) -> stage.Metrics:
    """Build the dataset of all rollouts."""
    fates = ModuleFates(clusters, splits, contamination)
    columns = schema(completion.reasoning_key, reasoning=True, more=ADDED)
    sources = table.read(records, ["reward", "licenses", "module_id"])
    licenses = Counter(name for names in sources["licenses"].to_pylist() for name in names or ["unknown"])
    sides = Counter(fates.split[module_id] for module_id in sources["module_id"].to_pylist())
    with replacing(dataset) as folder:
        folder.mkdir()
        writer = SplitWriter(folder, "train", sources.num_rows, columns)
        for batch in table.batches(records, [*RECORD_COLUMNS, "repeat_of", "module_id"], rows=500):
            for record in batch.to_pylist():
                row = published_row(record, completion.reasoning_key, reasoning=True)
                row |= {"repeat_of": record["repeat_of"], **fates.of(record["module_id"])}
                writer.write(row)
        written = [writer.close()] if sources.num_rows else []
        told = {
            "Rows": counts_table("side of the module", dict(sides)),
            "Rewards": rewards_text([reward for reward in sources["reward"].to_pylist() if reward is not None]),
            "Licences": counts_table("licence of the source", dict(sorted(licenses.items()))),
        }
        text = card(
            "KernelBook rollouts, all", SUMMARY, folder, columns, splits=written, licenses=licenses, sections=told
        )
        (folder / "README.md").write_text(text, encoding="utf-8")
    return {**balance(Counter({None: sources.num_rows})), "split": dict(sides)}


if __name__ == "__main__":
    stage.main(run)
