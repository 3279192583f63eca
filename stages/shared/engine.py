"""Map a pure function over rows on all cores, in order."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Below this, starting processes costs more than it saves.
_SERIAL_BELOW = 2000
_CHUNK = 64


def map_rows(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order. `function` must be importable, and may run in another process."""
    source = iter(items)
    head = list(islice(source, _SERIAL_BELOW))
    if len(head) < _SERIAL_BELOW or _cores() == 1:
        yield from map(function, chain(head, source))
        return
    with multiprocessing.get_context("spawn").Pool(_cores()) as pool:
        yield from pool.imap(function, chain(head, source), chunksize=_CHUNK)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
