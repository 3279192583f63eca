"""Recommend a trainer's `seq_len` for each dataset.

Reads `lengths` and `selection`; writes metrics only: for the published rows of each dataset percentiles, coverage of
the common limits, packing efficiency and the recommended lengths.
"""

from pathlib import Path

from stages.shared import stage, table
from stages.shared.accounting import account
from stages.shared.datasets.variants import Variants
from stages.shared.length_stats import length_stats


def run(variants: Variants, *, lengths: Path, selection: Path) -> stage.Metrics:
    """Recommend sequence lengths."""
    counts = table.read(lengths, ["row_id", "n_total_tokens", "n_total_tokens_no_reasoning"])
    fates = table.read(selection, ["row_id", *variants.root])
    table.assert_same_keys(counts["row_id"], fates["row_id"], "lengths and selection")
    found = {}
    for name, variant in variants.root.items():
        tokens = counts["n_total_tokens" if variant.reasoning else "n_total_tokens_no_reasoning"]
        published = tokens.filter(fates[name].is_null()).to_pylist()
        found[name] = {**account(fates[name].to_pylist()), **length_stats(published)}
    return {"variants": found, "rows_in": counts.num_rows, "kept": counts.num_rows}


if __name__ == "__main__":
    stage.main(run)
