"""The proof that train and validation share nothing, made from the traits of modules and not from their groups."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from stages.shared import table

TRAITS = ("code_hash", "cluster_id", "module_name")


def check_leakage(splits: Sequence[str], traits: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Prove that no value of any trait stands in two splits.

    Args:
        splits: split of each published row.
        traits: for each trait its value in each of these rows.

    Returns:
        Number of distinct values, by trait.

    Raises:
        ValueError: a value that stands in two splits.
    """
    for trait, values in traits.items():
        seen: dict[str, str] = {}
        for value, split in zip(values, splits, strict=True):
            if seen.setdefault(value, split) != split:
                raise ValueError(f"leak: the {trait} {value!r} is in both {seen[value]} and {split}")
    return {trait: len(set(values)) for trait, values in traits.items()}


def check_selection(selection: pa.Table, records: Path, clusters: Path, datasets: Iterable[str]) -> dict[str, int]:
    """Check every row that any of the datasets publishes.

    Args:
        selection: `row_id`, `split` and a column of drop reasons per dataset, one row per record.
        records: for the module of each row.
        clusters: for the traits of each module.
        datasets: names of the columns.
    """
    modules = table.read(records, ["row_id", "module_id"])
    table.assert_same_keys(modules["row_id"], selection["row_id"], "records and selection")
    known = {row["module_id"]: row for row in table.read(clusters, ["module_id", *TRAITS]).to_pylist()}
    published = zip(*(selection[name].is_null().to_pylist() for name in datasets), strict=True)
    rows = zip(modules["module_id"].to_pylist(), selection["split"].to_pylist(), published, strict=True)
    found = [(split, known[module_id]) for module_id, split, anywhere in rows if any(anywhere)]
    return check_leakage(
        [split for split, _ in found], {trait: [module[trait] for _, module in found] for trait in TRAITS}
    )
