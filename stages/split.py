"""Send each group of modules to train or validation, once for all datasets.

Reads `clusters` and the pins; writes `splits`, one row per group in the order of its first module. A group's split is
a function of the seed and its id alone, so that new rows and other filters move nothing.
"""

import hashlib
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
from pydantic import Field

from stages.shared import stage, table
from stages.shared.accounting import balance

log = logging.getLogger("split")
SPLITS = pa.schema([("group_id", pa.string()), ("split", pa.string())])
_TOLERANCE = 0.03
_STANDARD_ERRORS = 2


class Params(stage.Params):
    validation_fraction: float = Field(ge=0.0, lt=1.0)
    """Share of the groups that goes to validation."""
    seed: int
    """Another seed draws other groups."""
    pins: str
    """The `splits.parquet` of an earlier version, whose groups stay where they were; `data/sample/none` for no pins."""


def drawn(group_id: str, params: Params) -> str:
    """The split that the hash of seed and group id draws."""
    digest = hashlib.sha256(f"{params.seed}:{group_id}".encode()).digest()
    return "validation" if int.from_bytes(digest[:8]) < params.validation_fraction * 2**64 else "train"


def assign(group_of: Mapping[str, str], pinned: Mapping[str, str], params: Params) -> dict[str, str]:
    """The split of each group, in the order of its first module.

    Args:
        group_of: group id of each module id.
        pinned: split of each group id of an earlier version. A group id is the id of one of its modules, so it is
            found again when the group has been merged into another.
        params: the knobs.
    """
    pins = defaultdict[str, set[str]](set)
    for module_id, split in pinned.items():
        if module_id in group_of:
            pins[group_of[module_id]].add(split)
    found: dict[str, str] = {}
    for group_id in group_of.values():
        if group_id not in found:
            wanted = pins.get(group_id) or {drawn(group_id, params)}
            # Groups of both sides that have become one: whatever side it took, it would leak from the other.
            found[group_id] = wanted.pop() if len(wanted) == 1 else "excluded"
    return found


def read_pins(path: Path) -> dict[str, str]:
    """Splits by group id of an earlier version; a folder without a `splits.parquet` holds no pins."""
    if path.is_dir():
        path = path / "splits.parquet"
        if not path.exists():
            return {}
    rows = table.read(path, SPLITS.names).to_pylist()
    for row in rows:
        if row["split"] not in {"train", "validation", "excluded"}:
            raise ValueError(f"{path}: split: expected train, validation or excluded, got {row['split']!r}")
    return {row["group_id"]: row["split"] for row in rows}


def deviation(share: float, fraction: float, groups: int) -> str | None:
    """A warning when the actual share is off by more than 3 points and two standard errors."""
    error = math.sqrt(fraction * (1 - fraction) / groups) if groups else math.inf
    if abs(share - fraction) <= max(_TOLERANCE, _STANDARD_ERRORS * error):
        return None
    return f"{share:.1%} of the groups are validation, not {fraction:.1%}: large groups or pins weigh; try another seed"


def run(params: Params, *, clusters: Path, pins: Path, splits: Path) -> stage.Metrics:
    """Split groups."""
    modules = table.read(clusters, ["module_id", "group_id"]).to_pylist()
    group_of = {module["module_id"]: module["group_id"] for module in modules}
    pinned = read_pins(pins)
    found = assign(group_of, pinned, params)
    table.write(splits, SPLITS, {"group_id": list(found), "split": list(found.values())})
    groups = Counter(found.values())
    share = groups["validation"] / len(found) if found else 0.0
    warning = deviation(share, params.validation_fraction, len(found))
    if warning:
        log.warning(warning)
    return {
        **balance(Counter({None: len(found)})),
        "groups": dict(groups),
        "modules": dict(Counter(found[group_id] for group_id in group_of.values())),
        "validation_share_of_groups": round(share, 6),
        "pins": len(pinned),
        "pins_of_known_modules": len(pinned.keys() & group_of.keys()),
        "warning": warning,
    }


if __name__ == "__main__":
    stage.main(run)
