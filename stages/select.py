"""Decide for every rollout and every dataset whether it is published, and if not, why.

Reads all narrow tables and joins them by position; writes `selection`, one row per record in input order, with a
column per dataset: null where the row is published, else the reason it is not.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from stages.shared import stage, table
from stages.shared.accounting import account
from stages.shared.datasets.variants import Variants


class Params(stage.Params):
    drop_contaminated: bool
    """Drop rows whose module is in a benchmark."""
    drop_repeats: bool
    """Of rows with the same content keep the one with the best reward."""
    require_reasoning: bool
    """Drop rows whose source has no reasoning."""
    licenses: list[str]
    """Drop rows that have no licence or another one than these; empty for any."""
    max_gate_failures: int = Field(ge=0)
    """Fail when more kept rows than this would teach a trainer the wrong text."""


def own_reason(row: dict[str, Any], params: Params) -> str | None:
    """Why a row is dropped whatever other rows there are; `row` joins the columns of all narrow tables."""
    if row["drop_reason"] is not None:
        return str(row["drop_reason"])
    if params.drop_contaminated and row["contaminated"]:
        return "contaminated"
    if row["difficulty"] is None:
        return "unrated"
    if row["gate"] not in {"ok", "no_reasoning"}:
        return "gate"
    if params.require_reasoning and row["gate"] == "no_reasoning":
        return "no_reasoning"
    if params.licenses and not (row["licenses"] and _folded(row["licenses"]) <= _folded(params.licenses)):
        return "licence"
    return "excluded_group" if row["split"] == "excluded" else None


def _folded(names: list[str]) -> set[str]:
    return {name.casefold() for name in names}


def drop_repeats(rows: Sequence[dict[str, Any]], reasons: Sequence[str | None]) -> list[str | None]:
    """Drop all but the best rewarded row (the first of a tie) of those that have the same content and stay so far."""
    best: dict[str, int] = {}
    for i, row in enumerate(rows):
        if reasons[i] is None:
            first = row["repeat_of"] or row["row_id"]
            if first not in best or row["reward"] > rows[best[first]]["reward"]:
                best[first] = i
    staying = set(best.values())
    return [reason or (None if i in staying else "repeat") for i, reason in enumerate(reasons)]


def drop_not_unique(rows: Sequence[dict[str, Any]], reasons: Sequence[str | None]) -> list[str | None]:
    """Of the rows that stay so far keep the one with the best rank of each key."""
    best: dict[str, int] = {}
    for i, row in enumerate(rows):
        if reasons[i] is None and (row["key"] not in best or row["rank"] < rows[best[row["key"]]]["rank"]):
            best[row["key"]] = i
    staying = set(best.values())
    return [reason or (None if i in staying else "not_unique") for i, reason in enumerate(reasons)]


def join(tables: dict[str, Path]) -> list[dict[str, Any]]:
    """One row per record with the columns of every narrow table; kept-only tables are null for dropped rows."""
    records = table.read(tables["records"], ["row_id", "repeat_of", "module_id", "licenses"])
    kept = table.read(tables["kept"], ["row_id", "reward", "kept", "drop_reason"])
    lengths = table.read(tables["lengths"], ["row_id", "gate"])
    difficulty = table.read(tables["difficulty"], ["row_id", "difficulty"])
    unique = table.read(tables["unique"], ["row_id", "key", "rank"])
    clusters = table.read(tables["clusters"], ["module_id", "group_id"])
    contamination = table.read(tables["contamination"], ["module_id", "contaminated"])
    kept_ids = kept.filter(kept["kept"])["row_id"]
    for name, other, keys in (
        ("kept", kept["row_id"], records["row_id"]),
        ("lengths", lengths["row_id"], records["row_id"]),
        ("difficulty", difficulty["row_id"], kept_ids),
        ("unique", unique["row_id"], kept_ids),
        ("contamination", contamination["module_id"], clusters["module_id"]),
    ):
        table.assert_same_keys(other, keys, name)
    split_of = dict(zip(*table.read(tables["splits"], ["group_id", "split"]).to_pydict().values(), strict=True))
    module_of = {
        module_id: {"group_id": group_id, "split": split_of[group_id], "contaminated": contaminated}
        for module_id, group_id, contaminated in zip(
            *clusters.to_pydict().values(), contamination["contaminated"].to_pylist(), strict=True
        )
    }
    rated = iter(
        zip(difficulty["difficulty"].to_pylist(), unique["key"].to_pylist(), unique["rank"].to_pylist(), strict=True)
    )
    rows = records.append_column("gate", lengths["gate"])
    joined = []
    for row, fate in zip(rows.to_pylist(), kept.drop_columns("row_id").to_pylist(), strict=True):
        level, key, rank = next(rated) if fate["kept"] else (None, None, None)
        joined.append({**row, **fate, **module_of[row["module_id"]], "difficulty": level, "key": key, "rank": rank})
    return joined


def run(
    params: Params,
    variants: Variants,
    *,
    records: Path,
    kept: Path,
    difficulty: Path,
    unique: Path,
    contamination: Path,
    lengths: Path,
    clusters: Path,
    splits: Path,
    selection: Path,
) -> stage.Metrics:
    """Select rows."""
    files = {"records": records, "kept": kept, "difficulty": difficulty, "unique": unique, "lengths": lengths}
    rows = join(files | {"contamination": contamination, "clusters": clusters, "splits": splits})
    reasons = [own_reason(row, params) for row in rows]
    failures = Counter(row["gate"] for row, reason in zip(rows, reasons, strict=True) if reason == "gate")
    if failures.total() > params.max_gate_failures:
        raise ValueError(
            f"{failures.total()} kept rows would teach the wrong text, more than select.max_gate_failures = "
            f"{params.max_gate_failures}: {dict(failures)}; does the chat template read completion.reasoning_key?"
        )
    if params.drop_repeats:
        reasons = drop_repeats(rows, reasons)
    fates = {"kept": reasons, "unique": drop_not_unique(rows, reasons)}
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in ("row_id", "group_id", "split")}
    columns |= {name: fates[variant.rows] for name, variant in variants.root.items()}
    table.write(selection, pa.schema([(name, pa.string()) for name in columns]), columns)
    winners = {row["key"]: i for i, row in enumerate(rows) if row["rank"] == 1}
    published = {row["key"]: i for i, row in enumerate(rows) if fates["unique"][i] is None}
    accounts = defaultdict[str, dict[str, Any]](dict)
    for name, variant in variants.root.items():
        accounts[name] = account(fates[variant.rows])
        accounts[name]["split"] = dict(
            Counter(row["split"] for row, fate in zip(rows, fates[variant.rows], strict=True) if fate is None)
        )
    return {
        **account(reasons),
        "variants": dict(accounts),
        "replaced_winners": sum(winners[key] != i for key, i in published.items()),
        "lost_winners": len(winners.keys() - published.keys()),
    }


if __name__ == "__main__":
    stage.main(run)
