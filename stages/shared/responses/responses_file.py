"""The replies that a version used, as the DVC out that teammates pull."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from stages.shared.atomic import replacing
from stages.shared.responses.response_store import StoredReply


@contextmanager
def responses_file(path: Path) -> Iterator[Callable[[StoredReply], bool]]:
    """Yield what writes a reply, unless it was written before, and tells whether it did; then the file is there."""
    seen: set[str] = set()
    with replacing(path) as partial, partial.open("wb") as file:

        def use(reply: StoredReply) -> bool:
            if reply.key in seen:
                return False
            seen.add(reply.key)
            file.write(msgspec.json.encode(reply, order="sorted") + b"\n")
            return True

        yield use


def writing_responses(path: Path, replies: Iterable[StoredReply]) -> Iterator[StoredReply]:
    """Write each reply once, in the order of the rows that used it, and yield it; the file is there when all are."""
    with responses_file(path) as use:
        yield from filter(use, replies)


def write_responses(path: Path, replies: Iterable[StoredReply]) -> list[StoredReply]:
    """Write each reply once, in the order of the rows that used it; returns them."""
    return list(writing_responses(path, replies))
