"""All modules that there are: those of the modules table, then those that only rollouts have."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stages.shared import table


class Module(NamedTuple):
    """Identity and code of a module."""

    module_id: str
    module_name: str
    python_code: str


def module_union(modules: Path, records: Path) -> Iterator[Module]:
    """Each module once, in input order."""
    seen: set[str] = set()
    for file in (modules, records):
        for batch in table.batches(file, Module._fields):
            for module in map(Module, *(column.to_pylist() for column in batch.columns)):
                if module.module_id not in seen:
                    seen.add(module.module_id)
                    yield module
