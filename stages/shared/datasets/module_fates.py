"""What a source dataset says of a module: its split and whether it is contaminated."""

from pathlib import Path
from typing import Any

from stages.shared import table


class ModuleFates:
    """Looks modules up by id."""

    def __init__(self, clusters: Path, splits: Path, contamination: Path) -> None:
        groups = table.read(clusters, ["module_id", "group_id"])
        found = table.read(contamination, ["module_id", "contaminated"])
        table.assert_same_keys(groups["module_id"], found["module_id"], "clusters and contamination")
        split_of = dict(zip(*table.read(splits, ["group_id", "split"]).to_pydict().values(), strict=True))
        ids = groups["module_id"].to_pylist()
        self.split: dict[str, str] = {i: split_of[g] for i, g in zip(ids, groups["group_id"].to_pylist(), strict=True)}
        self._contaminated = dict(zip(ids, found["contaminated"].to_pylist(), strict=True))

    def of(self, module_id: str) -> dict[str, Any]:
        """The columns `split` and `contaminated` of a module."""
        return {"split": self.split[module_id], "contaminated": self._contaminated[module_id]}
