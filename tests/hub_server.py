"""A Hub on 127.0.0.1, in a thread of its own: what `huggingface_hub` and `datasets` need, and the faults of a script.

    with HubServer(tmp_path / "hub") as hub:
        hub.add("datasets", "org/name", {"data/train-00000-of-00001.parquet": content}, tag="v1")
        subprocess.run([...], env=environment() | hub.environment(tmp_path / "home"))
        assert hub.calls("commit") == []

State is in the folder: another server on it goes on where this one stopped.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from aiohttp import web

from tests.hub_api import KNOWN_TOKENS, WRITE_TOKEN, Api, MissingRepositoryError, failure, token_of
from tests.hub_repositories import MissingFileError, MissingRevisionError, RefusedError, Repositories, Repository
from tests.loopback_server import LoopbackServer


@dataclass(frozen=True)
class Received:
    """A request as it came in."""

    call: str
    """Name of the handler in `Api`: create, info, refs, tree, preupload, lfs_batch, lfs_upload, commit, resolve, ..."""
    method: str
    path: str
    repository: str | None
    headers: Mapping[str, str]
    number: int
    """Of all requests, from 0."""
    nth: int
    """Of the requests of this call and method, from 0."""

    @property
    def token(self) -> str | None:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None


@dataclass(frozen=True)
class Fault:
    """What happens instead of, or beside, the answer."""

    status: int | None = None
    """Answer with this, without doing what was asked."""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    """Say nothing for so long first; longer than the client's patience is a hang."""
    cut: Literal["before", "during", "after"] | None = None
    """Reset the connection: before anything is done, in the middle of the body, or when it is done, without a word."""
    after: Callable[[], None] | None = None
    """Called when the request was handled, before its answer goes out."""


Script = Callable[[Received], Fault | None]
"""Called before a request is handled: may change the repositories, kill a client, or return a fault."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def no_faults(_: Received) -> Fault | None:
    return None


class HubServer(LoopbackServer):
    """Keeps a log of what it receives. Tokens: `hf_write`, `hf_read`; anyone reads what is not private."""

    def __init__(self, folder: Path, script: Script = no_faults) -> None:
        super().__init__()
        self.script = script
        self.repositories = Repositories(folder)
        self.api = Api(self.repositories)
        self.received: list[Received] = []
        self._seen: Counter[tuple[str, str]] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, home: Path, token: str | None = WRITE_TOKEN) -> dict[str, str]:
        """Variables of a client process; its caches are under `home`. Xet's own storage protocol is not spoken here."""
        told = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
        return told | {"HF_HUB_DISABLE_TELEMETRY": "1"} | ({"HF_TOKEN": token} if token else {})

    def calls(self, *names: str) -> list[Received]:
        """Requests of some calls, in order."""
        return [received for received in self.received if received.call in names]

    def repository(self, name: str, kind: str = "datasets") -> Repository:
        return self.repositories.all[kind, name]

    def add(
        self, kind: str, name: str, files: Mapping[str, bytes], *, private: bool = False, tag: str | None = None
    ) -> str:
        """Commit files from outside, as another client does; makes the repository when there is none.

        Returns:
            The commit.
        """
        store = self.repositories
        with store.lock:
            found = store.all.get((kind, name)) or store.create(kind, name, private=private)
            oid = store.commit(found, "add", {path: store.stored(path, content) for path, content in files.items()})
            if tag:
                store.tag(found, tag, oid)
            return oid

    def application(self) -> web.Application:
        app = web.Application(client_max_size=2**30, middlewares=[self._faulty])
        app.add_routes(self.api.routes())
        return app

    @web.middleware
    async def _faulty(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = self.script(self._log(request)) or Fault()
        await asyncio.sleep(fault.delay_s)
        if fault.cut == "before":
            return _reset(request)
        if fault.cut == "during" and request.method in {"PUT", "POST"}:
            await request.content.readany()
            return _reset(request)
        if fault.status is not None:
            await request.read()
            return failure(fault.status, "scripted", **fault.headers)
        response = await _answer(request, handler)
        if fault.after:
            fault.after()
        if fault.cut == "after":
            return _reset(request)
        if fault.cut == "during":
            return await _half(request, response)
        return response

    def _log(self, request: web.Request) -> Received:
        match = request.match_info
        call = getattr(match.handler, "__name__", "unknown")
        name = f"{match['owner']}/{match['name']}" if "owner" in match else None
        nth = self._seen[call, request.method]
        self._seen[call, request.method] += 1
        headers = dict(request.headers)
        received = Received(call, request.method, request.path_qs, name, headers, len(self.received), nth)
        self.received.append(received)
        return received


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    token = token_of(request)
    if token is not None and token not in KNOWN_TOKENS:
        return failure(401, "Invalid credentials in Authorization header")
    try:
        return await handler(request)
    except MissingRepositoryError as error:
        told = "Repository not found" if token else "Invalid username or password."
        return failure(error.status, told, "RepoNotFound")
    except MissingRevisionError as error:
        return failure(404, f"Invalid rev id: {error}", "RevisionNotFound")
    except MissingFileError as error:
        return failure(404, f"{error} does not exist", "EntryNotFound")
    except RefusedError as error:
        return failure(error.status, str(error))


def _reset(request: web.Request) -> web.StreamResponse:
    if request.transport:  # none where the client has hung up before
        request.transport.abort()
    return web.Response()


async def _half(request: web.Request, whole: web.StreamResponse) -> web.StreamResponse:
    """The headers of an answer and half of its body."""
    assert isinstance(whole, web.Response)
    content = whole.body if isinstance(whole.body, bytes) else b""
    half = web.StreamResponse(status=whole.status, headers=whole.headers)
    half.content_length = len(content)
    with contextlib.suppress(ConnectionError):
        await half.prepare(request)
        await half.write(content[: len(content) // 2])
        await asyncio.sleep(0.01)
    _reset(request)
    return half
