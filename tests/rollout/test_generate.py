import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stages.rollout import generate
from stages.shared.responses.response_store import StoredReply
from tests.chat_server import Action, ChatServer, Received, chat, completion, error
from tests.imports import ROOT
from tests.model_stage import CODE
from tests.rollout.generation import FACTS, Generation
from tests.stages import tables

ANSWER_FORMAT = (ROOT / "stages" / "prompts" / "answer_format.md").read_text()


def module_of(received: Received) -> str:
    """Name of the class that a prompt asks to replace."""
    return received.prompt.partition("A class `")[2].partition("New`")[0]


def answer(received: Received) -> Action:
    return chat(f"<answer>\n{module_of(received)}\n</answer>", reasoning=f"about {module_of(received)}")


def test_a_line_holds_the_module_the_messages_and_where_they_come_from(tmp_path: Path) -> None:
    run = Generation(tmp_path, modules=2)
    run.entry |= {"temperature": 0.7, "top_p": 0.9, "seed": 40, "reasoning_effort": "low"}
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 2}}
    with ChatServer(lambda r: chat(f"content {r.body['seed']}", usage=usage, reasoning="thought")) as server:
        run.succeed(server.url)

        code = CODE.replace("{i}", "1")
        template = (ROOT / "stages" / "prompts" / "generate.md").read_text()
        template = f"{template}\n{ANSWER_FORMAT}"
        prompt = template.replace("{entry_point}", "Net1").replace("{python_code}", code.strip())
        sampling = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 64, "reasoning_effort": "low"}
        asked = {"model": "maker/tiny-1", "messages": [{"role": "user", "content": prompt}], **sampling, "seed": 41}
        assert asked in [received.body for received in server.received]
        assert len(server.received) == 4
    lines = run.completions()
    assert [(line["example_id"], line["copy"], line["seed"]) for line in lines] == [
        (0, 0, 40),
        (0, 1, 41),
        (1, 0, 40),
        (1, 1, 41),
    ]
    last = lines[-1]
    assert 0 < last.pop("generation_ms") < 10_000
    assert len(last.pop("request_key")) == 64
    facts = {"module_name": "Net1", "entry_point": "Net1", "python_code": code, "triton_code": None, "uuid": 1}
    assert last == {
        "example_id": 1,
        "copy": 1,
        "module_id": "m1",
        "module": facts | FACTS,
        "prompt": [{"role": "user", "content": prompt}],
        "completion": [{"role": "assistant", "content": "content 41", "reasoning_content": "thought"}],
        "finish_reason": "stop",
        "is_truncated": False,
        "usage": usage,
        "model": "maker/tiny-1",
        "seed": 41,
    }
    metrics = run.metrics()
    assert (metrics["rows_in"], metrics["kept"]) == (4, 4)
    assert (metrics["finish_reason"], metrics["reasoning"]) == ({"stop": 4}, {"present": 4})
    assert metrics["ledger"]["completion_tokens"] == 20


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"content": "code", "reasoning": "why"}, "present"),
        ({"content": "code", "reasoning_content": "why"}, "present"),
        ({"content": "code", "reasoning_details": [{"type": "reasoning.text", "text": "why"}]}, "present"),
        ({"content": "<think>why</think>code"}, "present"),
        ({"content": "why</think>\n\ncode"}, "present"),
        ({"content": "code"}, "none"),
        ({"content": "code", "reasoning": None, "hidden": 9}, "hidden"),
    ],
)
def test_reasoning_is_found_wherever_the_server_puts_it(message: dict[str, Any], kind: str) -> None:
    module = dict.fromkeys(generate.FACTS) | {"module_id": "m0", "uuids": [None]}
    usage = {"completion_tokens_details": {"reasoning_tokens": message.pop("hidden", 0)}}
    body = completion(message.pop("content"), usage=usage, **message)
    request = {"model": "m", "messages": []}

    line = generate.completion(generate.Task(0, module, 0, None), StoredReply("key", 0, request, body))

    reasoning = {"reasoning_content": "why"} if kind == "present" else {}
    assert line["completion"] == [{"role": "assistant", "content": "code", **reasoning}]
    assert generate.reasoning_kind(line) == kind


def test_what_is_cut_off_or_empty_is_a_rollout_and_not_asked_again(tmp_path: Path) -> None:
    replies = [chat("<answer>\nhalf", "length"), chat("", reasoning="no end", finish="length"), chat(""), chat(None)]
    run = Generation(tmp_path, modules=4)
    run.entry["rollouts_per_example"] = 1
    with ChatServer(lambda received: replies[int(module_of(received)[-1])]) as server:
        run.succeed(server.url)
        run.succeed(server.url)

        assert len(server.received) == 4
    lines = run.completions()
    assert [line["completion"][0].get("content") for line in lines] == ["<answer>\nhalf", "", "", ""]
    assert [line["is_truncated"] for line in lines] == [True, True, False, False]
    assert run.metrics()["finish_reason"] == {"length": 2, "stop": 2}


def test_a_refused_rollout_is_dropped_by_name_up_to_the_limit(tmp_path: Path) -> None:
    run = Generation(tmp_path, modules=4)

    def script(received: Received) -> Action:
        refused = module_of(received) == "Net2"
        return chat("", "content_filter") if refused else answer(received)

    with ChatServer(script) as server:
        told = run.fail(server.url)
        run.entry["max_failed_fraction"] = 0.25
        run.succeed(server.url)

        assert len(server.received) == 8
    assert told == (
        "generate: 2 of 8 rows failed for good, rollouts.tiny.max_failed_fraction is 0.0: m2, copy 0: content_filter"
    )
    assert Counter(line["module_id"] for line in run.completions()) == {"m0": 2, "m1": 2, "m3": 2}
    metrics = run.metrics()
    assert (metrics["rows_in"], metrics["kept"], metrics["dropped_content_filter"]) == (8, 6, 2)


def test_a_module_without_a_class_is_not_asked_about(tmp_path: Path) -> None:
    run = Generation(tmp_path)
    row = {"module_id": "m0", "module_name": "f", "entry_point": None, "python_code": "def f(): ...", "uuids": [None]}
    run.write_modules([row, row | {"module_id": "m1", "entry_point": "Net", "python_code": "class Net: ..."}])
    with ChatServer(answer) as server:
        run.succeed(server.url)

        assert [module_of(received) for received in server.received] == ["Net", "Net"]
    assert [line["example_id"] for line in run.completions()] == [1, 1]
    metrics = run.metrics()
    assert (metrics["rows_in"], metrics["kept"], metrics["dropped_no_prompt"]) == (4, 2, 2)


def test_specifications_are_asked_with_the_format_of_answers(tmp_path: Path) -> None:
    """In which the code is found. A module whose specification is missing is accounted for."""
    run = Generation(tmp_path, modules=3)
    run.entry |= {"prompts": "specs.parquet", "rollouts_per_example": 1}
    tables.write(tmp_path, specs=[{"module_id": "m2", "prompt": "Spec two."}, {"module_id": "m0", "prompt": None}])
    with ChatServer(lambda received: chat(received.prompt.upper())) as server:
        run.succeed(server.url)

    [line] = run.completions()
    asked = f"Spec two.\n\n{ANSWER_FORMAT}"
    assert "<answer>" in asked
    assert (line["example_id"], line["module_id"], line["completion"][0]["content"]) == (2, "m2", asked.upper())
    assert run.metrics()["dropped_no_prompt"] == 2


@pytest.mark.parametrize("rows", [0, 2])
def test_a_table_without_a_prompt_is_named(tmp_path: Path, rows: int) -> None:
    run = Generation(tmp_path, modules=2)
    run.entry["prompts"] = "specs.parquet"
    tables.write(tmp_path, specs=[{"module_id": f"m{i}", "prompt": " " if i else None} for i in range(rows)])

    told = "rollouts.tiny.prompts: specs.parquet has no prompt for any module that is asked about"
    assert run.fail("") == f"generate: {told}"


def test_an_entry_that_is_not_there_and_one_that_is_there_twice_are_named(tmp_path: Path) -> None:
    run = Generation(tmp_path)
    run.params["rollouts"] = {}
    assert run.fail("") == "generate: params.yaml: rollouts: there is no entry tiny"

    run.write_params()
    params = tmp_path / "params.yaml"
    params.write_text(f"{params.read_text()}rollouts: {{}}\n")
    done = subprocess.run(
        run.words("generate"), cwd=tmp_path, env=run.environment(""), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "generate: params.yaml: the key 'rollouts' stands there twice\n"


@pytest.mark.parametrize("finish", ["abort", "error", "insufficient_system_resource", {"type": "stop"}])
def test_what_a_server_gave_up_is_no_completion(tmp_path: Path, finish: Any) -> None:
    """As of a vLLM that ends while it answers: it is asked again, and never stored."""
    run = Generation(tmp_path, modules=2)
    with ChatServer(lambda received: answer(received) if received.nth >= 2 else chat("<answer>\nha", finish)) as server:
        run.succeed(server.url)

        assert len(server.received) == 4 + 4
    assert {line["finish_reason"] for line in run.completions()} == {"stop"}
    assert run.stored() == 4


def test_a_rejected_rollout_is_dropped_by_name_and_not_asked_again(tmp_path: Path) -> None:
    """But with another sample, or as another request."""
    run = Generation(tmp_path, modules=4)

    def script(received: Received) -> Action:
        return error(400, "too long") if module_of(received) == "Net2" else answer(received)

    with ChatServer(script) as server:
        told = run.fail(server.url)
        run.entry["max_failed_fraction"] = 0.25
        run.succeed(server.url)
        assert len(server.received) == 8
        run.entry["sample"] = 1
        run.succeed(server.url)
        assert len(server.received) == 16
    assert told.startswith(
        "generate: 2 of 8 rows failed for good, rollouts.tiny.max_failed_fraction is 0.0: m2, copy 0: rejected: 400: "
    )
    metrics = run.metrics()
    assert (metrics["rows_in"], metrics["kept"], metrics["dropped_rejected"]) == (8, 6, 2)
    assert Counter(line["module_id"] for line in run.completions()) == {"m0": 2, "m1": 2, "m3": 2}


def test_another_sample_has_other_seeds(tmp_path: Path) -> None:
    run = Generation(tmp_path, modules=1)
    run.entry["seed"] = 7
    with ChatServer(answer) as server:
        run.succeed(server.url)
        run.entry["sample"] = 2
        run.succeed(server.url)

        assert sorted(received.body["seed"] for received in server.received) == [7, 8, 2_000_007, 2_000_008]


def test_two_entries_with_the_same_requests_pay_once_when_they_run_at_once(tmp_path: Path) -> None:
    run, beside = Generation(tmp_path), Generation(tmp_path)
    words = beside.words("generate")
    run.params["rollouts"] |= {"beside": run.entry}
    words = ["beside" if word == "tiny" else word for word in words]
    words = [f"beside.{word}" if word.endswith(("completions.jsonl", "responses.jsonl")) else word for word in words]
    beside.words = lambda stage: words  # type: ignore[method-assign]  # noqa: ARG005
    beside.params = run.params
    with ChatServer(answer, latency_s=0.5) as server:
        both = [run.start(server.url, LLM_CONCURRENCY="2"), beside.start(server.url, LLM_CONCURRENCY="2")]
        assert [(process.communicate(timeout=60), process.returncode)[1] for process in both] == [0, 0]

        assert len(server.received) == server.distinct * 2 == 8
    assert (tmp_path / "beside.completions.jsonl").read_bytes() == (tmp_path / "completions.jsonl").read_bytes()


def test_its_name_is_the_one_that_starts_it(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "stages.rollout.generate", "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.startswith("usage: python -m stages.rollout.generate ")


def test_limit_takes_the_first_modules_and_sample_asks_anew(tmp_path: Path) -> None:
    run = Generation(tmp_path, modules=4)
    run.entry |= {"limit": 1}
    with ChatServer(answer) as server:
        run.succeed(server.url)
        assert [line["module_id"] for line in run.completions()] == ["m0", "m0"]
        assert len(server.received) == 2
        run.entry["rollouts_per_example"] = 3
        run.succeed(server.url)
        assert len(server.received) == 3
        run.entry["sample"] = 1
        run.succeed(server.url)
        assert len(server.received) == 6


def test_a_server_that_is_killed_costs_a_line_and_no_reply(tmp_path: Path) -> None:
    """What it answered is not asked again when it is back; the bytes are those of a run without interruption."""
    run = Generation(tmp_path / "killed", modules=20)
    window = {"LLM_CONCURRENCY": "4", "LLM_PATIENCE_S": "1"}
    with ChatServer(answer, latency_s=0.02) as server:
        running = run.start(server.url, **window)
        while len(server.answered) < 12:
            time.sleep(0.005)
        server.stop()
        told = running.communicate(timeout=60)[1]
        kept = run.stored()
        assert running.returncode == 1
        assert re.fullmatch(
            r"generate: no answer for \d s, \d+ requests failed, the last with: connection: .*", told.splitlines()[-1]
        )
        assert not (run.folder / "completions.jsonl").exists()

        sent = len(server.received)
        server.start()
        run.succeed(server.url, **window)
        assert len(server.received) - sent == 40 - kept
        assert 12 <= kept <= sum(server.answered.values())

    assert [line["copy"] for line in run.completions()] == [0, 1] * 20
    assert {line["completion"][0]["content"] for line in run.completions()} == {
        f"<answer>\nNet{i}\n</answer>" for i in range(20)
    }


def test_a_reply_that_takes_too_long_is_asked_for_again(tmp_path: Path) -> None:
    run = Generation(tmp_path, modules=1)
    with ChatServer(lambda received: answer(received) if received.number else Action(b"", delay_s=600)) as server:
        run.succeed(server.url, LLM_TIMEOUT_S="0.3")

        assert len(server.received) == 3
    assert len(run.completions()) == 2


def test_a_second_run_gives_the_same_bytes_also_from_the_committed_replies(tmp_path: Path) -> None:
    run = Generation(tmp_path)
    with ChatServer(answer) as server:
        run.succeed(server.url)
        files = [tmp_path / name for name in ("completions.jsonl", "responses.jsonl", "metrics.json")]
        first = [file.read_bytes() for file in files]
        replies = files[1].read_text()
        for segment in (tmp_path / ".responses").glob("*.jsonl"):
            segment.unlink()
        (tmp_path / ".responses" / "0.jsonl").write_text(replies)
        run.succeed(server.url)

        assert [file.read_bytes() for file in files] == first
        assert len(server.received) == len(replies.splitlines()) == 8
    assert all(json.loads(line)["elapsed_ms"] > 0 for line in replies.splitlines())
