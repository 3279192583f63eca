"""Keys, caps and servers that die, as stages that ask a model meet them in real processes."""

import sys
import time
from pathlib import Path

import pytest

from tests.chat_server import Action, ChatServer, Received, chat, error, rate
from tests.model_stage import KEY, ModelStage

NARROW = {"LLM_CONCURRENCY": "4"}


def test_no_key_is_written_anywhere(tmp_path: Path) -> None:
    """By a server that repeats the header in errors and in replies."""

    def script(received: Received) -> Action:
        sent = received.headers["Authorization"]
        if received.nth == 0:
            return error(500 if received.number % 2 else 429, f"bad {sent}")
        return chat(f"{sent} <difficulty>low</difficulty>", reasoning=sent)

    stage = ModelStage(tmp_path)
    with ChatServer(script) as server:
        code, told = stage.run(server.url)
        assert code == 0
        server.script = lambda received: error(401, f"bad {received.headers['Authorization']}")
        stage.params["rate_difficulty"]["sample"] = 1
        for name in ("metrics.json", "responses.jsonl"):
            (tmp_path / name).unlink()
        last = stage.fail(server.url)

        assert server.received[0].headers["Authorization"] == f"Bearer {KEY}"
        assert last.startswith(f"rate_difficulty: {server.url} answered 401: ")
        assert "bad Bearer ***" in last
        written = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert [p for p in written if KEY.encode() in p.read_bytes()] == []
        assert KEY not in told + last
    assert len(written) > 5


def test_a_cap_of_requests_stops_cleanly_and_the_next_run_goes_on(tmp_path: Path) -> None:
    """Tries that cost nothing do not count."""
    stage = ModelStage(tmp_path, modules=12)

    def script(received: Received) -> Action:
        return rate(received) if received.number else error(429, retry_after="0")

    with ChatServer(script, latency_s=0.02) as server:
        capped = NARROW | {"LLM_MAX_REQUESTS": "5"}
        told = "rate_difficulty: LLM_MAX_REQUESTS = 5 requests are sent"
        assert stage.fail(server.url, **capped) == told
        assert (len(server.received), stage.stored()) == (6, 5)
        assert stage.fail(server.url, **capped) == told
        stage.succeed(server.url, **capped)

        assert len(server.received) == 13
        assert stage.stored() == 12


def test_a_cap_in_usd_is_not_passed(tmp_path: Path) -> None:
    stage = ModelStage(tmp_path, modules=30)
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "cost": 0.01}
    with ChatServer(lambda _: chat("<difficulty>low</difficulty>", usage=usage), latency_s=0.02) as server:
        last = stage.fail(server.url, LLM_MAX_USD="0.105", LLM_CONCURRENCY="16")
        assert last == "rate_difficulty: LLM_MAX_USD = 0.105 is reached: 0.0100 is spent and 0.0900 under way"
        assert len(server.received) == stage.stored() == 10
        assert "LLM_MAX_USD = 0.0 is reached" in stage.fail(server.url, LLM_MAX_USD="0")
        assert len(server.received) == 10

        stage.succeed(server.url)
    assert stage.metrics()["ledger"]["usd"] == 0.3


def test_an_unknown_price_is_told_and_does_not_count_as_nothing(tmp_path: Path) -> None:
    stage = ModelStage(tmp_path, modules=3)
    with ChatServer() as server:
        code, told = stage.run(server.url, LLM_MAX_USD="1")

    assert code == 0
    assert "what a reply costs is unknown: LLM_MAX_USD cannot end this run" in told
    assert stage.metrics()["ledger"]["usd"] == "unknown"


def test_when_one_of_two_servers_dies_the_other_takes_over(tmp_path: Path) -> None:
    stage = ModelStage(tmp_path, modules=60)
    with ChatServer(latency_s=0.03) as one, ChatServer(latency_s=0.03) as two:
        running = stage.start(f"{one.url}, {two.url}/", **NARROW)
        while min(len(one.answered), len(two.answered)) < 5:
            time.sleep(0.01)
        one.stop()
        told = running.communicate(timeout=30)[1]

        assert running.returncode == 0, told
        assert max(one.most_in_flight, two.most_in_flight) <= 4
        assert stage.stored() == 60
        assert len(two.answered) + len(one.answered) >= 60 > len(two.answered)


def test_a_server_that_restarts_is_found_again(tmp_path: Path) -> None:
    stage = ModelStage(tmp_path, modules=60)
    with ChatServer(latency_s=0.03) as server:
        running = stage.start(server.url, **NARROW)
        while len(server.answered) < 10:
            time.sleep(0.01)
        server.stop()
        time.sleep(0.3)
        server.start()
        told = running.communicate(timeout=30)[1]

        assert running.returncode == 0, told
        assert len(server.answered) == 60
        assert len(server.received) <= 60 + 4


def test_dead_servers_end_in_one_line_and_the_run_goes_on_once_they_are_back(tmp_path: Path) -> None:
    """The patience of two minutes is shortened; the rest is the stage."""
    stage = ModelStage(tmp_path, modules=20)
    impatient = (
        "import functools, runpy, sys; from stages.shared import chat_client\n"
        "chat_client.Breaker = functools.partial(chat_client.Breaker, patience_s=1.0)\n"
        "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
    )
    words = stage.words

    with ChatServer(latency_s=0.02) as server:
        stage.words = lambda stage: [sys.executable, "-c", impatient, *words(stage)[2:]]  # type: ignore[method-assign]
        running = stage.start(server.url, **NARROW)
        while len(server.answered) < 10:
            time.sleep(0.01)
        server.stop()
        last = running.communicate(timeout=30)[1].splitlines()[-1]
        assert running.returncode == 1
        assert last.startswith("rate_difficulty: no answer for ")
        assert "connection: " in last

        server.start()
        stage.succeed(server.url)

        assert len(server.answered) == 20
        assert len(server.received) <= 20 + 4


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_rejected_row_is_not_tried_again_and_does_not_stop_the_others(tmp_path: Path, status: int) -> None:
    stage = ModelStage(tmp_path, modules=6)

    def script(received: Received) -> Action:
        return error(status, "too long") if "Net1(" in received.prompt else rate(received)

    with ChatServer(script) as server:
        last = stage.fail(server.url)

        assert len(server.received) == 6
    assert last.startswith(f"rate_difficulty: 1 of 6 requests got no answer (1 times: {status}: ")
    assert stage.stored() == 5


def test_a_server_that_rejects_everything_is_left_alone(tmp_path: Path) -> None:
    stage = ModelStage(tmp_path, modules=200)
    with ChatServer(lambda _: error(400, "unknown model"), latency_s=0.01) as server:
        last = stage.fail(server.url, **NARROW)

        assert len(server.received) < 30
    assert last.startswith("rate_difficulty: 20 requests in a row were rejected, the last with: 400: ")


def test_keys_and_settings_are_read_from_the_env_file(tmp_path: Path) -> None:
    stage = ModelStage(tmp_path, modules=2)
    stage.params["rate_difficulty"]["provider"] = "openai"
    with ChatServer() as server:
        (tmp_path / ".env").write_text(f"OPENAI_API_KEY=from-file\nLLM_BASE_URL={server.url}\nRESPONSE_STORE=kept\n")
        env = {"LLM_API_KEY": "", "OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "p-1", "PRIME_TEAM_ID": "t-1"}
        original = stage.environment
        stage.environment = lambda url, **more: {  # type: ignore[method-assign]
            name: value for name, value in original(url, **more).items() if name != "LLM_BASE_URL"
        }
        stage.succeed("", **env)

    assert server.received[0].headers["Authorization"] == "Bearer from-file"
    assert not {"org-1", "p-1", "t-1"} & set(server.received[0].headers.values())
    assert len(list((tmp_path / "kept").glob("*.jsonl"))) == 1
