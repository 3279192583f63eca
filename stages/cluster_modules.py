"""Group modules that must not be separated: same name, same code.

Reads code and names of `modules` and `records`; writes `clusters`, one row per module of their union (modules first,
then modules seen only in records, each in input order). Every later split and dedupe key comes from here, computed
over all modules, so that no filter changes it.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from stages.shared import engine, stage, table
from stages.shared.accounting import balance
from stages.shared.code.code_hash import code_hash
from stages.shared.module_union import Module, module_union
from stages.shared.records import short_hash

CLUSTERS = pa.schema(
    [(name, pa.string()) for name in ("module_id", "module_name", "code_hash", "cluster_id", "group_id")]
)


def module_hash(module: Module) -> str:
    """The code hash of a module; modules whose code is lost are not taken for one another."""
    return (
        code_hash(module.python_code) if module.python_code.strip() else short_hash({"no code of": module.module_name})
    )


def smallest_of_each(keys: Sequence[str], module_ids: Sequence[str]) -> list[str]:
    """For each module the smallest id among the modules with its key."""
    smallest: dict[str, str] = {}
    for key, module_id in zip(keys, module_ids, strict=True):
        smallest[key] = min(smallest.get(key, module_id), module_id)
    return [smallest[key] for key in keys]


def components(module_ids: Sequence[str], links: Sequence[Sequence[str]]) -> list[str]:
    """Connected components of modules that share a value in any column of `links`, named by their smallest id."""
    parent = {module_id: module_id for module_id in module_ids}

    def root(node: str) -> str:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for column in links:
        first: dict[str, str] = {}
        for value, module_id in zip(column, module_ids, strict=True):
            ends = root(first.setdefault(value, module_id)), root(module_id)
            parent[max(ends)] = min(ends)
    return [root(module_id) for module_id in module_ids]


def run(*, modules: Path, records: Path, clusters: Path) -> stage.Metrics:
    """Cluster modules."""
    found = list(module_union(modules, records))
    ids, names = [module.module_id for module in found], [module.module_name for module in found]
    hashes = list(engine.map_rows(module_hash, found))
    cluster_ids = smallest_of_each(hashes, ids)
    group_ids = components(ids, [names, hashes, cluster_ids])
    table.write(
        clusters,
        CLUSTERS,
        {"module_id": ids, "module_name": names, "code_hash": hashes, "cluster_id": cluster_ids, "group_id": group_ids},
    )
    codes_of_name = Counter(name for name, _ in set(zip(names, hashes, strict=True)))
    return {
        **balance(Counter({None: len(ids)})),
        "module_names": len(set(names)),
        "code_hashes": len(set(hashes)),
        "clusters": len(set(cluster_ids)),
        "groups": len(set(group_ids)),
        "largest_group": max(Counter(group_ids).values(), default=0),
        "names_with_different_codes": sum(n > 1 for n in codes_of_name.values()),
    }


if __name__ == "__main__":
    stage.main(run)
