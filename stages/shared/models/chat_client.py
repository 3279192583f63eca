"""Send requests to chat servers until each is answered, as fast as they allow and no faster.

`openai.AsyncOpenAI` carries the bytes; retries, limits, routing and the decision to give up are made here, where they
see every answer.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, DefaultAioHttpClient

from stages.shared.models.adaptive_limit import AdaptiveLimit
from stages.shared.models.admission import Admission, Endpoint
from stages.shared.models.providers import Access
from stages.shared.models.question import given_up, is_reply
from stages.shared.retry_after import retry_after

# Every request would be a line of the log.
logging.getLogger("httpx2").setLevel(logging.WARNING)
_TRIES = 8
_REJECTIONS = 20
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
_TIMEOUT_S = 900.0
_CONNECT_S = 20.0
_OPENAI_HOST = "api.openai.com"
_RATE_LIMITED = 429
_NOT_FOUND = 404
_WRONG_SET_UP = {401, 402, 403, _NOT_FOUND}
_RETRIED = {408, 409, 425}


class LostError(Exception):
    """One request got no answer after all tries; the row stays owed."""


class RejectedError(Exception):
    """A server will never take a request: it is wrong, or the set-up of that server is."""

    def __init__(self, reason: str, endpoint: Endpoint) -> None:
        super().__init__(reason)
        self.endpoint = endpoint


class ServerError(ValueError):
    """The servers cannot be used: wrong set-up, or no answer for too long."""


@dataclass(frozen=True)
class Failure:
    """Why a try gave no reply."""

    reason: str
    wait_s: float = 0.0
    """How long the server asks to wait."""
    rejected: bool = False
    """Whether another try would end the same."""


@dataclass
class Breaker:
    """Gives up when nothing is answered any more; refusals by 429 count like errors.

    Rejections end a run before its first answer only, when the set-up may be what is wrong.
    """

    patience_s: float = 120.0
    """Seconds without one answer, while requests fail."""
    failures: int = 0
    rejections: int = 0
    """Requests that no server will ever take."""
    has_answers: bool = False
    last_answer: float = field(default_factory=time.monotonic)

    def answered(self) -> None:
        """An answer came."""
        self.failures, self.has_answers, self.last_answer = 0, True, time.monotonic()

    def rejected(self, reason: str, sent_at: float, oldest_sent_at: float) -> None:
        """A request of `sent_at` was rejected, while others are under way, the oldest since `oldest_sent_at`.

        Raises:
            ServerError: each request is rejected; one from before this one that is under way was taken.
        """
        self.rejections += 1
        if not self.has_answers and self.rejections >= _REJECTIONS and oldest_sent_at >= sent_at:
            raise ServerError(f"all {self.rejections} requests until now were rejected, the last with: {reason}")

    def failed(self, failure: Failure, oldest_sent_at: float) -> None:
        """A request failed, while others are under way, the oldest since `oldest_sent_at`: it may be slow, not lost.

        Raises:
            ServerError: it has been too long.
        """
        self.failures += 1
        now = time.monotonic()
        silent, waited = now - self.last_answer, now - oldest_sent_at
        if self.failures > 1 and waited <= self.patience_s < silent:
            told = f"{self.failures} requests failed, the last with: {failure.reason}"
            raise ServerError(f"no answer for {silent:.0f} s, {told}")


class ChatClient:
    """A window of requests over one or more endpoints."""

    def __init__(
        self,
        accesses: list[Access],
        concurrency: int,
        breaker: Breaker | None = None,
        timeout_s: float | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._secrets = {access.api_key for access in accesses if len(access.api_key) > 4}
        self._breaker = breaker or Breaker()
        self._jitter = random.Random()  # noqa: S311  # spreads retries, decides nothing
        self._stopped = False
        self._pausing: set[asyncio.Task[Any] | None] = set()
        self._sent_at: dict[asyncio.Task[Any] | None, float] = {}
        """Of the requests under way, the oldest first."""
        self._timeout_s = timeout_s or _TIMEOUT_S
        limits = httpx2.Limits(max_connections=concurrency + 8, max_keepalive_connections=concurrency + 8)
        timeout = httpx2.Timeout(self._timeout_s, connect=_CONNECT_S)
        self._http = DefaultAioHttpClient(limits=limits, timeout=timeout)
        endpoints = [Endpoint(access.base_url, self._open(access), AdaptiveLimit(concurrency)) for access in accesses]
        self.admission = Admission(endpoints, concurrency)

    def _open(self, access: Access) -> AsyncOpenAI:
        client = AsyncOpenAI(
            base_url=access.base_url,
            api_key=access.api_key,
            default_headers=dict(access.headers),
            max_retries=0,
            http_client=self._http,
        )
        if client.base_url.host != _OPENAI_HOST:
            # Read from OPENAI_ORG_ID and OPENAI_PROJECT_ID, which are nobody else's business.
            client.organization = client.project = None
        return client

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def stop(self) -> None:
        """Send nothing more: cancel the tasks that wait for their turn or a retry, not those that wait for a reply."""
        self._stopped = True
        for task in self._pausing:
            if task:
                task.cancel()

    async def send(
        self,
        body: Mapping[str, Any],
        reserve: Callable[[], None],
        give_back: Callable[[], None],
        keep: Callable[[dict[str, Any], float], Awaitable[None]],
    ) -> dict[str, Any]:
        """The reply to one request, after as many tries as it takes.

        Args:
            body: of the chat completion.
            reserve: called before each try; may raise to end the run.
            give_back: called after a try that costs nothing.
            keep: awaited with the reply and the milliseconds it took while its place is still taken, so that no more
                replies than places can be lost by a crash.

        Raises:
            LostError: 8 tries failed; refusals by 429 are not counted, the breaker ends them.
            RejectedError: the server will never take the request.
            ServerError: no request can succeed.
        """
        tries = 0
        while True:
            with self._pause():
                endpoint = await self.admission.acquire()
            task, sent_at = asyncio.current_task(), time.monotonic()
            try:
                reserve()
                self._sent_at[task] = sent_at
                outcome = await self._try(endpoint, body, sent_at)
                if not isinstance(outcome, Failure):
                    await keep(outcome, round((time.monotonic() - sent_at) * 1000, 1))
            except ServerError:
                give_back()
                raise
            finally:
                self._sent_at.pop(task, None)
                self.admission.release(endpoint)
            if not isinstance(outcome, Failure):
                self._breaker.answered()
                return outcome
            give_back()
            self.counts[outcome.reason.split(":")[0]] += 1
            oldest_sent_at = next(iter(self._sent_at.values()), time.monotonic())
            if outcome.rejected:
                self._breaker.rejected(outcome.reason, sent_at, oldest_sent_at)
                raise RejectedError(outcome.reason, endpoint)
            self._breaker.failed(outcome, oldest_sent_at)
            limited = outcome.reason == str(_RATE_LIMITED)
            tries += not limited
            if tries == _TRIES:
                raise LostError(outcome.reason)
            delay = min(_FIRST_DELAY_S * 2**tries, _LONGEST_DELAY_S) * self._jitter.uniform(0.5, 1.0)
            with self._pause():
                await asyncio.sleep(max(outcome.wait_s, self._jitter.uniform(0.0, 0.5) if limited else delay))

    @contextmanager
    def _pause(self) -> Iterator[None]:
        """While nothing is under way, so that `stop` may end the task."""
        if self._stopped:
            raise asyncio.CancelledError
        task = asyncio.current_task()
        self._pausing.add(task)
        try:
            yield
        finally:
            self._pausing.discard(task)

    async def _try(self, endpoint: Endpoint, body: Mapping[str, Any], sent_at: float) -> dict[str, Any] | Failure:
        """One request: its reply, or why there is none."""
        try:
            # The client's own limit is one on silence, which a reply that trickles never breaks.
            async with asyncio.timeout(self._timeout_s):
                response = await endpoint.client.post("/chat/completions", body=body, cast_to=httpx2.Response)
            reply = msgspec.json.decode(self._without_secrets(response.content))
        except APIStatusError as error:
            return self._refused(endpoint, error, sent_at)
        except TimeoutError:
            endpoint.failed(time.monotonic(), sent_at)
            return Failure(f"connection: no whole reply within {self._timeout_s:g} s")
        except (APIConnectionError, httpx2.HTTPError, OSError) as error:
            endpoint.failed(time.monotonic(), sent_at)
            return Failure(f"connection: {self.clean(error.__cause__ or error) or type(error.__cause__).__name__}")
        except msgspec.DecodeError:
            endpoint.failed(time.monotonic(), sent_at)
            return Failure("broken reply")
        if not is_reply(reply):
            return Failure("broken reply")
        if reason := given_up(reply):
            endpoint.failed(time.monotonic(), sent_at)
            return Failure(reason)
        endpoint.answered(time.monotonic())
        return reply

    def _refused(self, endpoint: Endpoint, error: APIStatusError, sent_at: float) -> Failure:
        status, now = error.status_code, time.monotonic()
        wait = retry_after(error.response.headers)
        message = self.clean(error)
        if status == _RATE_LIMITED:
            endpoint.limit.refused(now, sent_at, wait)
            return Failure(str(status), wait or 0.0)
        # A server that answered and does not know the model any more is one that restarts.
        passing = status in _RETRIED or status >= 500 or (status == _NOT_FOUND and endpoint.has_answered)
        if status in _WRONG_SET_UP and not passing:
            raise ServerError(f"{endpoint.name} answered {status}: {message}")
        if passing:
            endpoint.failed(now, sent_at)
            return Failure(f"{status}: {message}", wait or 0.0)
        return Failure(f"{status}: {message}", rejected=True)

    def _without_secrets(self, content: bytes) -> bytes:
        """A reply that is safe to store: some proxies repeat the headers they got."""
        for secret in self._secrets:
            content = content.replace(secret.encode(), b"***")
        return content

    def clean(self, error: object) -> str:
        """An error as one short line without a key, which servers like to repeat."""
        text = " ".join(str(error).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text[:300]
