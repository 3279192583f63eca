"""A chat server that costs next to nothing: `python -m tests.bench.reply_server PORT LATENCY PLACES`.

It answers after LATENCY seconds, and refuses with 429 and `Retry-After: 1` what comes beyond PLACES at a time.
`GET /stats` tells how many requests came, how many were refused, and how many were under way at most.
"""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

_REPLY = {
    "id": "bench",
    "object": "chat.completion",
    "created": 0,
    "model": "bench",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "<difficulty>low</difficulty>", "reasoning": "why " * 400},
        }
    ],
    "usage": {"prompt_tokens": 1200, "completion_tokens": 400, "total_tokens": 1600},
}


@dataclass
class Counts:
    """What the server saw."""

    requests: int = 0
    refused: int = 0
    under_way: int = 0
    most: int = 0


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as much of it as the clients here use."""

    def __init__(self, latency: float, places: int, counts: Counts) -> None:
        self.latency = latency
        self.places = places
        self.counts = counts
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take whole requests off what came."""
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].lower()
            _, found, rest = head.partition(b"content-length:")
            size = int(rest.split(b"\r\n")[0]) if found else 0
            if len(self.received) < end + 4 + size:
                return
            self.received = self.received[end + 4 + size :]
            self._request(head)

    def _request(self, head: bytes) -> None:
        counts = self.counts
        if head.startswith(b"get /stats"):
            self._answer(200, asdict(counts))
            return
        counts.requests += 1
        if counts.under_way >= self.places:
            counts.refused += 1
            self._answer(429, {"error": {"message": "slow down"}}, b"retry-after: 1\r\n")
            return
        counts.under_way += 1
        counts.most = max(counts.most, counts.under_way)
        asyncio.get_running_loop().call_later(self.latency, self._done)

    def _done(self) -> None:
        self.counts.under_way -= 1
        if not self.transport.is_closing():
            self._answer(200, _REPLY)

    def _answer(self, status: int, body: object, more: bytes = b"") -> None:
        content = json.dumps(body).encode()
        head = b"HTTP/1.1 %d x\r\ncontent-type: application/json\r\n%scontent-length: %d\r\n\r\n" % (
            status,
            more,
            len(content),
        )
        self.transport.write(head + content)


async def serve(port: int, latency: float, places: int) -> None:
    """Serve until the process ends; port 0 takes a free one, which is printed."""
    counts = Counts()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(latency, places, counts), "127.0.0.1", port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
