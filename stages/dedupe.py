"""Rank the kept rollouts of each module by reward.

Reads `kept`, `clusters` and the ids of `records`; writes `unique`, one row per kept row in input order. Rank 1 is the
best of its key; the first row wins a tie, as in the reference.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa

from stages.shared import stage, table
from stages.shared.accounting import account

UNIQUE = pa.schema([("row_id", pa.string()), ("key", pa.string()), ("rank", pa.int64()), ("n_in_key", pa.int64())])


class Params(stage.Params):
    key: Literal["module_name", "code_hash", "cluster_id"]
    """What makes two rollouts answers to the same problem."""


def ranks(keys: Sequence[str], rewards: Sequence[float]) -> list[int]:
    """1-based rank of each row within its key: higher reward first, then input order."""
    members = defaultdict[str, list[int]](list)
    for position, key in enumerate(keys):
        members[key].append(position)
    found = [0] * len(keys)
    for positions in members.values():
        for rank, position in enumerate(sorted(positions, key=lambda i: -rewards[i]), start=1):
            found[position] = rank
    return found


def run(params: Params, *, kept: Path, clusters: Path, records: Path, unique: Path) -> stage.Metrics:
    """Rank duplicates."""
    fates = table.read(kept, ["row_id", "reward", "kept"])
    rows = table.read(records, ["row_id", "module_id"])
    table.assert_same_keys(fates["row_id"], rows["row_id"], "kept and records")
    chosen = fates.append_column("module_id", rows["module_id"]).filter(fates["kept"])
    known = {
        row["module_id"]: row
        for row in table.read(clusters, ["module_id", "module_name", "code_hash", "cluster_id"]).to_pylist()
    }
    modules = [known[module_id] for module_id in chosen["module_id"].to_pylist()]
    keys = [module[params.key] for module in modules]
    ranked = ranks(keys, chosen["reward"].to_pylist())
    sizes = Counter(keys)
    table.write(
        unique,
        UNIQUE,
        {"row_id": chosen["row_id"], "key": keys, "rank": ranked, "n_in_key": [sizes[key] for key in keys]},
    )
    codes = len({module["code_hash"] for module in modules})
    winners = {module["code_hash"] for module, rank in zip(modules, ranked, strict=True) if rank == 1}
    return {
        **account(None if rank == 1 else "not_best" for rank in ranked),
        "different_modules": codes,
        "different_modules_lost": codes - len(winners),
    }


if __name__ == "__main__":
    stage.main(run)
