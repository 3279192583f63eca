"""The processes that wait for this one: when they are gone, nobody wants its results any more."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import takewhile

import psutil

_SHELLS = frozenset({"sh", "dash", "bash", "zsh", "fish", "ksh"})


def starters() -> list[psutil.Process]:
    """The parent; where it is the shell of one command line, as DVC may use it, also the parent of that."""
    return list(_upwards())


def are_there(processes: Iterable[psutil.Process]) -> bool:
    """Whether all of them still run; a zombie does not."""
    return all(_is_there(process) for process in processes)


def _upwards() -> Iterator[psutil.Process]:
    with suppress(psutil.Error):
        process = psutil.Process().parent()
        while process:
            yield process
            options = takewhile(lambda word: word.startswith("-"), process.cmdline()[1:])
            process = process.parent() if process.name() in _SHELLS and "-c" in options else None


def _is_there(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
