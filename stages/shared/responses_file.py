"""The replies that a version used, as the DVC out that teammates pull."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from stages.shared.atomic import replacing
from stages.shared.response_store import StoredReply


def write_responses(path: Path, replies: Iterable[StoredReply]) -> list[StoredReply]:
    """Write each reply once, in the order of the rows that used it; returns them."""
    used = list({reply.key: reply for reply in replies}.values())
    with replacing(path) as partial, partial.open("wb") as file:
        for reply in used:
            file.write(msgspec.json.encode(reply, order="sorted") + b"\n")
    return used
