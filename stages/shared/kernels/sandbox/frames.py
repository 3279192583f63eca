"""What goes through the private channel between a job and the parent: a kind, a length, bytes."""

import os
import struct
import time
from typing import Literal

Kind = Literal["started", "frame", "done", "raised", "memory"]
KINDS: tuple[Kind, ...] = ("started", "frame", "done", "raised", "memory")

_HEAD = struct.Struct(">BI")
_LEAST = 1024


def pack(kind: Kind, content: bytes) -> bytes:
    """One message: the place of `kind` in KINDS (1 byte), the length of `content` (4 bytes, big-endian), `content`."""
    return _HEAD.pack(KINDS.index(kind), len(content)) + content


def write(channel: int, message: bytes) -> None:
    """Write all of `message`; `os.write` alone, because a job may not make system calls for sockets."""
    rest = memoryview(message)
    while rest:
        rest = rest[os.write(channel, rest) :]


def read_exactly(channel: int, size: int) -> bytes:
    """Read `size` bytes.

    Raises:
        EOFError: the other end closed the channel before.
    """
    content = bytearray()
    while len(content) < size:
        read = os.read(channel, size - len(content))
        if not read:
            raise EOFError
        content += read
    return bytes(content)


class FrameReader:
    """Takes bytes that nobody vouches for, in any pieces, and keeps the messages that came whole.

    A message that would pass `limit` bytes in all, of which each counts as 1 KiB at least, or of a kind that does not
    exist, is never waited for.
    """

    def __init__(self, limit: int) -> None:
        self.started = False
        """Whether the job got as far as its task. Before that nothing untrusted has run."""
        self.frames: list[bytes] = []
        """The contents of the messages of the kind `frame`, in order."""
        self.times: list[float] = []
        """When each of them had come whole, by `time.monotonic`."""
        self.last: tuple[Kind, bytes] | None = None
        """The message that ended the stream; nothing after it is read."""
        self.fault: str | None = None
        """Why no more is read."""
        self._limit = limit
        self._taken = 0
        self._rest = bytearray()

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        if self.fault is not None or self.last is not None:
            return
        self._rest += piece
        while self.last is None and len(self._rest) >= _HEAD.size:
            place, length = _HEAD.unpack_from(self._rest)
            if place >= len(KINDS):
                self.fault = f"a message of the unknown kind {place}"
                return
            end = _HEAD.size + length
            if self._taken + max(end, _LEAST) > self._limit:
                self.fault = f"more than {self._limit} bytes of frames"
                return
            if len(self._rest) < end:
                return
            content = bytes(self._rest[_HEAD.size : end])
            del self._rest[:end]
            self._taken += max(end, _LEAST)
            if KINDS[place] == "started":
                self.started = True
            elif KINDS[place] == "frame":
                self.frames.append(content)
                self.times.append(time.monotonic())
            else:
                self.last = (KINDS[place], content)
