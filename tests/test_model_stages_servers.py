"""Keys, caps and servers that die, as stages that ask a model meet them in real processes."""

import time
from dataclasses import replace
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
    stage = ModelStage(tmp_path, modules=20)
    with ChatServer(latency_s=0.02) as server:
        running = stage.start(server.url, **NARROW, LLM_PATIENCE_S="1")
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
def test_a_rejected_row_has_failed_for_good_and_does_not_stop_the_others(tmp_path: Path, status: int) -> None:
    """It is stored like a refusal, and costs nothing."""
    stage = ModelStage(tmp_path, modules=6)

    def script(received: Received) -> Action:
        return error(status, "too long") if "Net1(" in received.prompt else rate(received)

    with ChatServer(script) as server:
        last = stage.fail(server.url)
        stage.params["rate_difficulty"]["max_failed_fraction"] = 0.5
        stage.succeed(server.url)

        assert len(server.received) == 6
    told = "rate_difficulty: 1 of 6 rows failed for good, rate_difficulty.max_failed_fraction is 0.0: r1: rejected: "
    assert last.startswith(f"{told}{status}: ")
    assert stage.stored() == len(stage.replies()) == 6
    assert stage.levels() == {f"r{i}": None if i == 1 else "low" for i in range(6)}
    assert stage.metrics()["failed"] == {"rejected": 1}


def test_what_is_rejected_first_counts_once_the_server_takes_another_request(tmp_path: Path) -> None:
    """Also more of them at once than a wrong set-up is given, and in a run that asks for nothing else."""
    stage = ModelStage(tmp_path, modules=40)

    def script(received: Received) -> Action:
        taken = received.number in {0, 1}
        return replace(rate(received), delay_s=0.5) if taken else error(400, "too long")

    with ChatServer(script) as server:
        assert stage.fail(server.url, **NARROW).startswith("rate_difficulty: 38 of 40 rows failed for good")
        assert stage.stored() == len(server.received) == 40
        stage = ModelStage(tmp_path, modules=42)
        assert stage.fail(server.url, **NARROW).startswith("rate_difficulty: 40 of 42 rows failed for good")
        assert stage.fail(server.url, **NARROW).startswith("rate_difficulty: 40 of 42 rows failed for good")
        assert len(server.received) == 42


def test_a_first_request_that_is_rejected_stays_owed(tmp_path: Path) -> None:
    """As nothing tells whether it or the set-up is wrong."""
    stage = ModelStage(tmp_path, modules=2)
    with ChatServer(lambda _: error(400, "no such field")) as server:
        assert stage.fail(server.url).startswith("rate_difficulty: 2 of 2 requests got no answer (2 times: 400: ")
        assert stage.stored() == 0
        server.script = rate
        stage.succeed(server.url)


def test_a_server_that_rejects_what_another_takes_decides_nothing(tmp_path: Path) -> None:
    stage = ModelStage(tmp_path, modules=8)
    with ChatServer() as good, ChatServer(lambda _: error(400, "too long")) as bad:
        last = stage.fail(f"{good.url},{bad.url}", **NARROW)

        assert "requests got no answer" in last
        assert stage.stored() == len(good.received) == 8 - len(bad.received) < 8


def test_a_model_that_is_not_found_for_a_moment_does_not_end_the_run(tmp_path: Path) -> None:
    """As at a server that restarts; before the first answer it is a wrong name."""
    stage = ModelStage(tmp_path, modules=6)
    with ChatServer(lambda received: error(404, "no such model") if received.number == 3 else rate(received)) as server:
        stage.succeed(server.url, LLM_CONCURRENCY="1")

        assert len(server.received) == 7


def test_a_reply_that_trickles_is_given_up(tmp_path: Path) -> None:
    """Every byte of it breaks the silence."""
    stage = ModelStage(tmp_path, modules=1)

    def script(received: Received) -> Action:
        return replace(rate(received), trickle_s=0.0 if received.number else 0.05)

    with ChatServer(script) as server:
        began = time.monotonic()
        stage.succeed(server.url, LLM_TIMEOUT_S="1")

        assert len(server.received) == 2
    assert time.monotonic() - began < 10.0


def test_a_server_that_rejects_everything_is_left_alone(tmp_path: Path) -> None:
    stage = ModelStage(tmp_path, modules=200)
    with ChatServer(lambda _: error(400, "unknown model"), latency_s=0.01) as server:
        last = stage.fail(server.url, **NARROW)

        assert len(server.received) < 30
    assert last.startswith("rate_difficulty: all 20 requests until now were rejected, the last with: 400: ")


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
