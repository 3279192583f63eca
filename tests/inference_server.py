"""A real inference server: `transformers serve` on a CPU, with a tiny model that is made here."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.imports import ROOT

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


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, str]]:
    """Base URL and model name of a server that runs in `folder`."""
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
