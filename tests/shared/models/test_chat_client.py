"""The client against a real server that misbehaves; delays are shortened, nothing else is changed."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from stages.shared.models import admission, chat_client
from stages.shared.models.chat_client import Breaker, ChatClient, LostError, ServerError
from stages.shared.models.providers import Access
from tests.chat_server import Action, ChatServer, Received, chat, error, rate

GOOD = chat("<difficulty>low</difficulty>")


def send(
    *servers: ChatServer, requests: int = 1, concurrency: int = 8, breaker: Breaker | None = None
) -> tuple[list[Any], ChatClient]:
    """Send requests at once; returns what came of each, and the client."""
    spent = [0]

    def reserve() -> None:
        spent[0] += 1

    def give_back() -> None:
        spent[0] -= 1

    kept: list[Any] = []

    async def keep(reply: dict[str, Any], elapsed_ms: float) -> None:
        assert 0.0 < elapsed_ms < 60_000.0
        kept.append(reply)

    async def run() -> tuple[list[Any], ChatClient]:
        client = ChatClient([Access(server.url, "none", {}) for server in servers], concurrency, breaker)
        bodies = [{"model": "m", "messages": [{"role": "user", "content": f"question {i}"}]} for i in range(requests)]
        outcomes = await asyncio.gather(
            *(client.send(body, reserve, give_back, keep) for body in bodies), return_exceptions=True
        )
        assert client.admission.in_flight == 0
        await client.close()
        return outcomes, client

    outcomes, client = asyncio.run(run())
    assert spent[0] == len(kept) == sum(isinstance(outcome, dict) for outcome in outcomes)
    return outcomes, client


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_client, "_FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(chat_client, "_TIMEOUT_S", 0.5)
    monkeypatch.setattr(admission, "_LONGEST_PROBE_S", 0.1)


def in_a_second() -> str:
    """As an HTTP date, which has no fractions."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)


@pytest.mark.parametrize(
    ("bad", "counted"),
    [
        (error(500), "500"),
        (error(503, "loading", retry_after="0"), "503"),
        (error(408), "408"),
        (Action(b"<html>bad gateway</html>", 502), "502"),
        (Action(GOOD.content, cut_at=60), "connection"),
        (Action(GOOD.content, cut_at=0), "connection"),
        (Action(b"", delay_s=1000.0), "connection"),
        (Action(GOOD.content[:60]), "broken reply"),
        (Action(b""), "broken reply"),
        (Action(b'{"error": {"message": "overloaded"}}'), "broken reply"),
        (Action(b'{"choices": []}'), "broken reply"),
        (chat({"text": "low"}), "broken reply"),
        (chat("low", {"reason": "stop"}), "broken reply"),
        (chat("lo", "abort"), "finish_reason abort"),
        (Action(b"[1, 2]"), "broken reply"),
        (error(429, retry_after="0"), "429"),
    ],
)
def test_a_failure_is_tried_again(bad: Action, counted: str) -> None:
    with ChatServer(lambda received: rate(received) if received.nth else bad) as server:
        outcomes, client = send(server, requests=3)

        assert [type(outcome) for outcome in outcomes] == [dict] * 3
        assert client.counts == {counted: 3}
        assert len(server.received) == 6


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "1"},
        {"retry-after-ms": "1000"},
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s"},
        {"retry-after": "date"},
    ],
)
def test_a_server_that_names_a_time_gets_no_request_before_it(headers: dict[str, str]) -> None:
    times: list[float] = []

    def script(received: Received) -> Action:
        times.append(time.monotonic())
        dated = {name: in_a_second() if value == "date" else value for name, value in headers.items()}
        return rate(received) if received.number >= 4 else Action(b"{}", 429, dated)

    with ChatServer(script) as server:
        outcomes, _ = send(server, requests=4)

    assert [type(outcome) for outcome in outcomes] == [dict] * 4
    assert len(times) == 8
    assert 0.95 <= times[4] - times[3] < 3.0


def test_a_request_is_lost_after_eight_tries_and_the_others_are_not() -> None:
    def script(received: Received) -> Action:
        return error(500, "no") if received.prompt == "question 1" else rate(received)

    with ChatServer(script) as server:
        outcomes, client = send(server, requests=6)

        assert [type(outcome) for outcome in outcomes] == [dict, LostError, dict, dict, dict, dict]
        assert str(outcomes[1]).startswith("500: ")
        assert client.counts == {"500": 8}
        assert len(server.received) == 5 + 8


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_wrong_set_up_ends_the_run_at_once(status: int) -> None:
    with ChatServer(lambda _: error(status, "no")) as server:
        outcomes, _ = send(server, requests=1)

    assert isinstance(outcomes[0], ServerError)
    assert str(outcomes[0]).startswith(f"{server.url} answered {status}: ")
    assert len(server.received) == 1


def test_sustained_refusals_end_the_run() -> None:
    with ChatServer(lambda _: error(429, retry_after="0")) as server:
        outcomes, _ = send(server, requests=2, breaker=Breaker(patience_s=0.5))

    assert any(isinstance(outcome, ServerError) for outcome in outcomes)
    assert "requests failed, the last with: 429" in str(outcomes)


def test_a_slow_answer_is_not_taken_for_none_while_others_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a reasoning model with few places."""
    monkeypatch.setattr(chat_client, "_TIMEOUT_S", 10.0)
    with ChatServer(latency_s=1.0, max_in_flight=1) as server:
        outcomes, client = send(server, requests=3, breaker=Breaker(patience_s=0.3))

    assert [type(outcome) for outcome in outcomes] == [dict] * 3
    assert client.counts["429"] > 0


def test_a_burst_of_lost_connections_sets_a_server_aside_for_a_moment_only() -> None:
    """Eight at once are one failure; then one request at a time, until one is answered."""
    with ChatServer(lambda received: rate(received) if received.number >= 8 else Action(b"", cut_at=0)) as server:
        began = time.monotonic()
        outcomes, _ = send(server, requests=8)

    assert [type(outcome) for outcome in outcomes] == [dict] * 8
    assert 1.0 <= time.monotonic() - began < 2.5


def test_the_window_holds_for_all_servers_together_and_the_idle_one_is_preferred() -> None:
    with ChatServer(latency_s=0.02) as fast, ChatServer(latency_s=0.2) as slow:
        outcomes, _ = send(fast, slow, requests=60, concurrency=6)

        assert [type(outcome) for outcome in outcomes] == [dict] * 60
        assert fast.most_in_flight + slow.most_in_flight <= 6 + 1
        assert len(fast.received) > 3 * len(slow.received) > 0


def test_a_dead_server_is_set_aside_and_probed() -> None:
    with ChatServer() as dead, ChatServer(latency_s=0.02) as alive:
        dead.stop()
        outcomes, client = send(dead, alive, requests=100, concurrency=4)

        assert [type(outcome) for outcome in outcomes] == [dict] * 100
        assert len(alive.answered) == 100
        assert client.counts["connection"] < 10
