"""Stages that ask a model, as processes, against a server that misbehaves: every row is answered, or named."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chat_server import Action, ChatServer, Received, chat, rate
from tests.model_stage import ModelStage
from tests.stages import tables

NARROW = {"LLM_CONCURRENCY": "4"}


BAD = (
    chat("I think it is <difficulty>hard</difficulty>"),
    chat(""),
    chat("<difficulty>lo", "length"),
    Action(b'{"choices": [{"mess'),
    Action(b" " * 2000, cut_at=40),
    chat(None, reasoning_content="It sums."),
)


def test_one_bad_reply_in_three_leaves_no_row_unanswered(tmp_path: Path) -> None:
    stage = ModelStage(tmp_path, modules=30)

    def script(received: Received) -> Action:
        return BAD[received.number // 3 % len(BAD)] if received.number % 3 == 0 else rate(received)

    with ChatServer(script) as server:
        stage.succeed(server.url, **NARROW)
        assert set(stage.levels().values()) == {"low"}
        assert len(stage.levels()) == 30
        before = len(server.received)

        stage.succeed(server.url, **NARROW)

        assert len(server.received) == before
    assert stage.metrics()["ledger"]["requests"] == len(stage.replies()) == stage.stored()


def test_a_row_that_is_never_answered_is_named_and_the_rest_is_stored(tmp_path: Path) -> None:
    def script(received: Received) -> Action:
        return chat("No idea.") if "Net2(" in received.prompt else rate(received)

    stage = ModelStage(tmp_path)
    with ChatServer(script) as server:
        assert stage.fail(server.url) == (
            "rate_difficulty: 1 of 4 rows failed for good, rate_difficulty.max_failed_fraction is 0.0: "
            "r2: unusable after 4 replies: expected one <difficulty> tag with low, medium or high"
        )
        assert stage.stored() == len(server.received) == 3 + 4

        stage.params["rate_difficulty"]["max_failed_fraction"] = 1.0
        stage.succeed(server.url)

        assert len(server.received) == 3 + 4
    assert stage.levels() == {"r0": "low", "r1": "low", "r2": None, "r3": "low"}
    assert stage.metrics()["difficulty"] == {"low": 3, "unrated": 1}


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (chat("I cannot help.", refusal="I cannot help."), "refusal"),
        (chat("<difficulty>low</difficulty>", "content_filter"), "content_filter"),
    ],
)
def test_a_refusal_is_final_and_paid_for_once(tmp_path: Path, action: Action, reason: str) -> None:
    stage = ModelStage(tmp_path, modules=1)
    with ChatServer(lambda _: action) as server:
        assert stage.fail(server.url).endswith(f"r0: {reason}")
        assert stage.fail(server.url).endswith(f"r0: {reason}")

        assert len(server.received) == 1


def test_a_reply_that_was_cut_off_gets_twice_the_room_each_time(tmp_path: Path) -> None:
    def script(received: Received) -> Action:
        short = received.body["max_tokens"] < 400
        return chat("<difficulty>low</difficulty>", "length" if short else "stop")

    stage = ModelStage(tmp_path, modules=1)
    stage.params["rate_difficulty"]["max_tokens"] = 100
    with ChatServer(script) as server:
        stage.succeed(server.url)

    assert [received.body["max_tokens"] for received in server.received] == [100, 200, 400]


@pytest.mark.parametrize("answer", ['{"difficulty": ["low"]}', "1" * 5000, "[" * 100_000, "</think>", "<think>low"])
def test_a_strange_reply_is_a_bad_one(tmp_path: Path, answer: str) -> None:
    stage = ModelStage(tmp_path, modules=1)
    with ChatServer(lambda received: rate(received) if received.number else chat(answer)) as server:
        stage.succeed(server.url)

        assert len(server.received) == 2


def test_reasoning_is_stored_in_the_field_that_the_provider_uses(tmp_path: Path) -> None:
    fields: list[dict[str, Any]] = [
        {"reasoning": "a"},
        {"reasoning_content": "b"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "c"}]},
        {},
    ]
    inline = "<think>d <difficulty>high</difficulty></think>"

    def script(received: Received) -> Action:
        i = next(i for i in range(4) if f"Net{i}(" in received.prompt)
        return chat(("" if fields[i] else inline) + "<difficulty>low</difficulty>", **fields[i])

    stage = ModelStage(tmp_path)
    with ChatServer(script) as server:
        stage.succeed(server.url)

    messages = [reply.reply["choices"][0]["message"] for reply in stage.replies()]
    assert set(stage.levels().values()) == {"low"}
    assert [{k: v for k, v in m.items() if k.startswith("reasoning")} for m in messages] == fields
    assert messages[3]["content"].startswith(inline)


def test_rows_of_a_module_share_a_request_unless_the_solution_is_shown(tmp_path: Path) -> None:
    stage = ModelStage(tmp_path, modules=3, rows_per_module=4)
    with ChatServer() as server:
        stage.succeed(server.url)
        assert len(server.received) == len(stage.replies()) == 3

        stage.params["rate_difficulty"]["show_solution"] = True
        stage.succeed(server.url)
        assert len(server.received) == 3 + 12
    assert all("answer" in received.prompt for received in server.received[3:])


def test_the_majority_of_three_votes_counts(tmp_path: Path) -> None:
    levels = ["high", "low", "high"]
    stage = ModelStage(tmp_path, modules=2)
    stage.params["rate_difficulty"]["votes"] = 3
    with ChatServer(lambda received: chat(f"<difficulty>{levels[received.nth]}</difficulty>")) as server:
        stage.succeed(server.url)

        assert len(server.received) == 6
    for row in tables.rows(tmp_path / "difficulty.parquet"):
        assert (row["difficulty"], sorted(row["votes"]), row["agreement"]) == (
            "high",
            ["high", "high", "low"],
            0.666667,
        )
        assert len(set(row["request_keys"])) == 3


def test_a_new_sample_and_new_rows_are_all_that_is_asked(tmp_path: Path) -> None:
    ModelStage(tmp_path, modules=3)
    with ChatServer() as server:
        ModelStage(tmp_path, modules=3).succeed(server.url)
        more = ModelStage(tmp_path, modules=5)
        more.succeed(server.url)
        assert len(server.received) == 5

        more.params["rate_difficulty"]["sample"] = 1
        more.succeed(server.url)
        assert (len(server.received), server.distinct) == (10, 5)


def test_the_writer_is_told_what_to_correct(tmp_path: Path) -> None:
    stage = ModelStage(tmp_path, modules=2)

    def script(received: Received) -> Action:
        name = next(name for name in ("Net0", "Net1") if name in received.prompt)
        good = f"Write `{name}New` in Triton."
        return chat(good if len(received.body["messages"]) == 3 else "Write it in Triton.")

    with ChatServer(script) as server:
        stage.succeed(server.url, "write_specs")
        stage.succeed(server.url, "write_specs")

        assert len(server.received) == 4
    feedback = [received.body["messages"][1:] for received in server.received if len(received.body["messages"]) == 3]
    complaint = "That reply cannot be used: it does not name the class `Net0New` to implement."
    assert [turn["role"] for turn in feedback[0]] == ["assistant", "user"]
    assert complaint in {turns[1]["content"].split(" Reply again")[0] for turns in feedback}
    texts = [row["prompt"] for row in tables.rows(tmp_path / "specs.parquet")]
    assert texts == ["Write `Net0New` in Triton.", "Write `Net1New` in Triton."]


def test_the_static_default_needs_no_client_and_writes_empty_responses(tmp_path: Path) -> None:
    stage = ModelStage(tmp_path)
    stage.params["rate_difficulty"]["rater"] = "static"
    stage.params["write_specs"]["writer"] = "template"
    stage.write_params()
    script = (
        "import runpy, sys\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"
        "print(sorted({'openai', 'aiohttp', 'uvloop', 'dvc'} & set(sys.modules)))"
    )
    for name in ("rate_difficulty", "write_specs"):
        words = [sys.executable, "-c", script, *stage.words(name)[2:]]
        env = stage.environment("")
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"
        assert (tmp_path / "responses.jsonl").read_bytes() == b""
    assert not (tmp_path / ".responses").exists()
