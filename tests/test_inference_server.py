"""The client against a real inference server: `transformers serve` on a CPU, with a tiny model that the test makes."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.shared.asking import ask
from stages.shared.budget import Budget, Prices, ledger
from stages.shared.chat_client import ChatClient
from stages.shared.providers import Access
from stages.shared.question import Question, state
from stages.shared.response_store import ResponseStore
from tests.imports import ROOT

ROWS = 6
# All other tokens have the logit 0: of 6,000 the end of the text then comes with a chance of about 1 in 12.
_END_LOGIT = 6.2


def make_model(folder: Path) -> None:
    """A GPT-2 of one layer whose every token is drawn from the same distribution, with the sample's tokenizer."""
    import torch  # noqa: PLC0415  # heavy, and only this test needs it
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(ROOT / "data" / "sample" / "tokenizer")
    end = tokenizer.eos_token_id
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=8192, eos_token_id=end)
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.zero_()
        model.transformer.ln_f.bias[0] = 1.0
        model.transformer.wte.weight[:, 0] = 0.0
        model.transformer.wte.weight[end, 0] = _END_LOGIT
    model.generation_config.do_sample = True
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Base URL and model name of the running server."""
    folder = tmp_path_factory.mktemp("served")
    make_model(folder / "tiny")
    (folder / "hub").mkdir()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = Path(sys.executable).with_name("transformers")
    words = [str(command), "serve", str(folder / "tiny"), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    env = os.environ | {"HF_HOME": str(folder), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(words, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not is_up(url):
            assert server.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the server did not come up in 120 s"
            time.sleep(0.3)
        yield url, str(folder / "tiny")
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


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
