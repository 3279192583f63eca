"""The replies that a version used, as the DVC out that teammates pull."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from stages.shared.atomic import replacing
from stages.shared.responses.response_store import StoredReply


def writing_responses(path: Path, replies: Iterable[StoredReply]) -> Iterator[StoredReply]:
    """Write each reply once, in the order of the rows that used it, and yield it; the file is there when all are."""
    seen: set[str] = set()
    with replacing(path) as partial, partial.open("wb") as file:
        for reply in replies:
            if reply.key not in seen:
                seen.add(reply.key)
                file.write(msgspec.json.encode(reply, order="sorted") + b"\n")
                yield reply


def write_responses(path: Path, replies: Iterable[StoredReply]) -> list[StoredReply]:
    """Write each reply once, in the order of the rows that used it; returns them."""
    return list(writing_responses(path, replies))
