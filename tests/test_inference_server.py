"""A real inference server: `transformers serve` on a CPU, with a tiny model that the test makes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.shared.models.asking import ask
from stages.shared.models.budget import Budget, Prices, ledger
from stages.shared.models.chat_client import ChatClient
from stages.shared.models.providers import Access
from stages.shared.models.question import Question, state
from stages.shared.responses.response_store import ResponseStore
from tests.imports import ROOT
from tests.inference_server import serving
from tests.rollout.rollout_project import ROLLOUTS, RolloutProject

ROWS = 6


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Base URL and model name of the running server."""
    with serving(tmp_path_factory.mktemp("served")) as found:
        yield found


def test_every_question_is_answered_and_asked_once(served: tuple[str, str], tmp_path: Path) -> None:
    url, model = served
    store = ResponseStore(tmp_path / "responses")
    budget = Budget(None, None)
    prices = Prices(ROOT / "stages" / "prices.json")

    def questions() -> Iterator[Question]:
        for row in range(ROWS):
            messages = [{"role": "user", "content": f"Name a kernel, number {row}."}]
            body = {"model": model, "messages": messages, "max_tokens": 128, "temperature": 1.0}
            yield Question(body, [0], lambda _: None)

    def client() -> ChatClient:
        return ChatClient([Access(f"{url}/v1", "none", {})], 4)

    ask(questions, store, client, budget, prices, workers=8)
    states = [state(question, store) for question in questions()]
    sent = budget.requests
    ask(questions, store, client, budget, prices, workers=8)

    assert [found.failure for found in states] == [None] * ROWS
    assert all(found.text and found.text.strip() for found in states)
    replies = [reply for found in states for reply in found.replies]
    assert len(replies) == sent == budget.requests >= ROWS
    told = ledger(((model, reply.reply) for reply in replies), prices)
    assert told["requests"] == sent
    assert told["prompt_tokens"] > 0
    assert told["completion_tokens"] > 0
    assert told["usd"] == "unknown"


def test_nonsense_goes_through_to_the_datasets_and_is_counted(
    served: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step 0 and all that follows: a random model writes no kernel, and every rollout of it is accounted for."""
    url, model = served
    monkeypatch.setenv("LLM_BASE_URL", f"{url}/v1")
    monkeypatch.setenv("LLM_CONCURRENCY", "2")
    project = RolloutProject(tmp_path / "project")
    project.enter(model=model, limit=3, rollouts_per_example=2, temperature=1.0, top_p=0.9, seed=7, max_tokens=24)
    project.dvc("repro", "build@unique", "build@filtered", "build_evals")

    rows = project.lines(ROLLOUTS)
    assert [(row["example_id"], row["copy"]) for row in rows] == [(i, copy) for i in range(3) for copy in range(2)]
    assert all(row["completion"][0]["content"] and row["generation_ms"] > 0 for row in rows)
    assert all(row["usage"]["completion_tokens"] <= 24 for row in rows)
    assert {row["reward"] for row in rows} == {0.0}
    assert {(row["finish_reason"] == "length", row["verdict"]) for row in rows} <= {(True, None), (False, "wrong")}
    for stage in ("generate.sample", "score.sample", "ingest", "filter_reward", "build_evals"):
        found = project.metrics(stage)
        assert found["rows_in"] == found["kept"] + sum(n for k, n in found.items() if k.startswith("dropped_")) == 6
    assert project.metrics("filter_reward")["dropped_low_reward"] == 6
    assert project.metrics("build_evals")["kept"] == 6
    assert project.metrics("generate.sample")["ledger"]["completion_tokens"] > 0
