"""Replies of language models, kept for good and found by what was asked.

The store is a folder of append-only JSONL segments, one per writing process, outside DVC's outs. A reply is on disk
before it is used. Nothing in a key depends on a stage, a threshold or the code: whoever asks the same gets the reply.
"""

import asyncio
import fcntl
import hashlib
import logging
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from stages.shared.records import canonical_json

REJECTED = "rejected"
"""Key of a stored reply that is none: the server will never take the request, and this is what it said."""


class StoredReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """One billed reply, or a refusal to reply: a line of a segment."""

    key: str
    attempt: int
    request: dict[str, Any]
    """The body that was sent."""
    reply: dict[str, Any]
    """The body that came back, whole: message, reasoning, usage, finish reason."""
    elapsed_ms: float | None = None
    """From sending the request to having the reply; None in stores that did not keep it."""


log = logging.getLogger("response_store")
_decode = msgspec.json.Decoder(StoredReply).decode


def request_key(body: dict[str, Any], sample: list[int], attempt: int) -> str:
    """Identity of a request.

    Args:
        body: what is sent: model, messages, sampling.
        sample: indices that ask for a fresh reply to the same body.
        attempt: how many replies to this row were unusable before.

    Returns:
        64 hex digits of the SHA-256 of the canonical JSON of all three.
    """
    return hashlib.sha256(canonical_json({"attempt": attempt, "body": body, "sample": sample})).hexdigest()


class ResponseStore:
    """Finds replies by key, and makes new ones durable.

    Only the place of each reply is in memory. A last line that a crash cut off is not a reply: it is asked for again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._places: dict[str, tuple[Path, int, int]] = {}
        self._read_to: dict[Path, int] = {}
        self._segment = _new_segment(folder)
        self._file: int | None = None
        self._size = 0
        self._waiting: list[tuple[str, bytes, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None
        self.refresh()

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def refresh(self) -> None:
        """Read what other processes have added."""
        for segment in sorted(self.folder.glob("*.jsonl")):
            start = self._read_to.get(segment, 0)
            with segment.open("rb") as lines:
                lines.seek(start)
                for line in lines:
                    if line.endswith(b"\n"):
                        self._note(segment, start, line)
                        start += len(line)
                        self._read_to[segment] = start

    def get(self, key: str) -> StoredReply | None:
        """The reply to a request, None when it was never answered."""
        place = self._places.get(key)
        if place is None:
            return None
        segment, offset, length = place
        with segment.open("rb") as file:
            file.seek(offset)
            return _decode(file.read(length))

    async def add(self, reply: StoredReply) -> None:
        """Return when the reply is on disk. All replies that wait at the same time share one flush."""
        durable = asyncio.get_running_loop().create_future()
        self._waiting.append((reply.key, msgspec.json.encode(reply) + b"\n", durable))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        await durable

    def add_all(self, replies: Iterable[StoredReply]) -> int:
        """Add the replies that are not there yet, with one flush. Returns how many."""
        lines = [(reply.key, msgspec.json.encode(reply) + b"\n") for reply in replies if reply.key not in self]
        distinct = dict(lines)
        self._append(list(distinct.items()))
        return len(distinct)

    async def drain(self) -> None:
        """Wait until everything that was added is on disk."""
        while self._flushing is not None and not self._flushing.done():
            await asyncio.wait([self._flushing])

    def close(self) -> None:
        """Close the segment of this process."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the store for one run. Who waited finds what the other paid for: `refresh` runs once it is held."""
        with (self.folder / f"{name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("another run of %s holds the store: waiting for it", name)
                fcntl.flock(file, fcntl.LOCK_EX)
            self.refresh()
            yield

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._append, [(key, line) for key, line, _ in batch])
            except OSError as error:
                for _, _, durable in batch:
                    if not durable.done():
                        durable.set_exception(error)
            else:
                for _, _, durable in batch:
                    if not durable.done():
                        durable.set_result(None)

    def _append(self, lines: list[tuple[str, bytes]]) -> None:
        if not lines:
            return
        if self._file is None:
            self._file = os.open(self._segment, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            _sync_folder(self.folder)
        data = memoryview(b"".join(line for _, line in lines))
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError:
            # The segment may end in half a line now, which the next reply must not continue.
            self.close()
            self._segment, self._size = _new_segment(self.folder), 0
            raise
        for key, line in lines:
            self._places.setdefault(key, (self._segment, self._size, len(line)))
            self._size += len(line)
        self._read_to[self._segment] = self._size

    def _note(self, segment: Path, offset: int, line: bytes) -> None:
        try:
            key = _decode(line).key
        except msgspec.DecodeError:
            return  # a disk that lost power can leave a block of anything; the reply is owed again
        # The first reply counts: a later one to the same request would change what was built from the first.
        self._places.setdefault(key, (segment, offset, len(line)))


def _new_segment(folder: Path) -> Path:
    """A name of its own; names sort by age, so that the first of equal keys is the oldest."""
    return folder / f"{time.time_ns():020d}-{uuid.uuid4().hex}.jsonl"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
