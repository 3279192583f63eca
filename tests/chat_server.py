"""A chat server that follows a script: real HTTP on 127.0.0.1, in a thread of its own."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from stages.shared.records import canonical_json
from tests.loopback_server import LoopbackServer


@dataclass(frozen=True)
class Received:
    """A request as it came in."""

    body: dict[str, Any]
    headers: dict[str, str]
    number: int
    """Of all requests, from 0."""
    nth: int
    """Of the requests with this body, from 0."""
    in_flight: int
    """With this one."""

    @property
    def prompt(self) -> str:
        text: str = self.body["messages"][0]["content"]
        return text


@dataclass(frozen=True)
class Action:
    """What the server does with a request."""

    content: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut_at: int | None = None
    """Send so many bytes of the content, then reset the connection."""
    trickle_s: float = 0.0
    """Send one byte of the content at a time, with so many seconds between them."""


Script = Callable[[Received], Action]


def completion(text: Any, finish: Any = "stop", *, usage: Any = None, **message: Any) -> dict[str, Any]:
    """The body of a chat completion; `message` holds further fields, such as a provider's reasoning."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_768_471_200,
        "model": "scripted",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
        ],
        "usage": usage or {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }


def chat(text: Any, finish: Any = "stop", *, usage: Any = None, **message: Any) -> Action:
    """A reply of the model."""
    return Action(json.dumps(completion(text, finish, usage=usage, **message)).encode())


def error(status: int, message: str = "scripted", **headers: str) -> Action:
    """An error; underscores in the names of headers stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Action(json.dumps({"error": {"message": message}}).encode(), status, named)


def rate(_: Received) -> Action:
    return chat("<difficulty>low</difficulty>")


async def _healthy(_: web.Request) -> web.Response:
    return web.Response()


class ChatServer(LoopbackServer):
    """Counts and keeps what it receives."""

    def __init__(self, script: Script = rate, *, latency_s: float = 0.0, max_in_flight: int | None = None) -> None:
        super().__init__()
        self.script = script
        self.latency_s = latency_s
        self.limit = max_in_flight
        self.received: list[Received] = []
        self.answered: Counter[bytes] = Counter()
        """Bodies that got the whole of a 200."""
        self.refused = 0
        self.most_in_flight = 0
        self._bodies: Counter[bytes] = Counter()
        self._in_flight = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def distinct(self) -> int:
        """Different bodies that came."""
        return len(self._bodies)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/v1/chat/completions", self._handle)
        app.router.add_get("/health", _healthy)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        key = canonical_json(body)
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        received = Received(body, dict(request.headers), len(self.received), self._bodies[key], self._in_flight)
        self.received.append(received)
        self._bodies[key] += 1
        try:
            if self.limit is not None and self._in_flight > self.limit:
                self.refused += 1
                return web.json_response({"error": {"message": "full"}}, status=429, headers={"Retry-After": "1"})
            action = self.script(received)
            await asyncio.sleep(self.latency_s + action.delay_s)
            response = await self._send(request, action)
            whole = response.prepared and action.status == 200 and action.cut_at is None
            self.answered.update([key] if whole else [])
            return response
        finally:
            self._in_flight -= 1

    async def _send(self, request: web.Request, action: Action) -> web.StreamResponse:
        headers = {"Content-Type": "application/json", "Content-Length": str(len(action.content)), **action.headers}
        response = web.StreamResponse(status=action.status, headers=headers)
        with contextlib.suppress(ConnectionError):
            await response.prepare(request)
            step = 1 if action.trickle_s else max(1, len(action.content))
            for start in range(0, len(action.content[: action.cut_at]), step):
                await response.write(action.content[: action.cut_at][start : start + step])
                await asyncio.sleep(action.trickle_s)
            if action.cut_at is not None:
                await asyncio.sleep(0.01)
                assert request.transport
                request.transport.abort()
            else:
                await response.write_eof()
        return response
