"""Measure the client and the store against a server on loopback: `python -m tests.bench.replies`.

Two scenarios: a fast server at 1,024 requests in flight, and one that refuses everything beyond 40 at a time. The
figures are shares of what the server's latency allows; nothing is asserted.
"""

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.shared.models.asking import ask
from stages.shared.models.budget import Budget, Prices
from stages.shared.models.chat_client import ChatClient
from stages.shared.models.providers import Access
from stages.shared.models.question import Question
from stages.shared.responses.response_store import ResponseStore
from tests.imports import ROOT

PROMPT = "x" * 4700
"""As long as a prompt with a module's code is."""


@contextmanager
def server(latency: float, places: int) -> Iterator[str]:
    """Base URL of a server in a process of its own."""
    words = [sys.executable, "-m", "tests.bench.reply_server", "0", str(latency), str(places)]
    running = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        yield f"http://127.0.0.1:{int(running.stdout.readline())}"
    finally:
        running.kill()
        running.wait()


def questions(rows: int) -> Iterator[Question]:
    """Distinct questions whose every reply is good."""
    for row in range(rows):
        body = {"model": "bench", "messages": [{"role": "user", "content": f"{row} {PROMPT}"}]}
        yield Question(body, [0], lambda _: None)


def measure(rows: int, concurrency: int, latency: float, places: int) -> dict[str, float]:
    """Ask all rows; seconds, requests per second, share of the limit, and what the server saw."""
    with server(latency, places) as url, tempfile.TemporaryDirectory() as folder:
        store = ResponseStore(Path(folder))
        started = time.perf_counter()
        ask(
            lambda: questions(rows),
            store,
            lambda: ChatClient([Access(f"{url}/v1", "none", {})], concurrency),
            Budget(None, None),
            Prices(ROOT / "stages" / "prices.json"),
            workers=2 * concurrency,
        )
        seconds = time.perf_counter() - started
        with urllib.request.urlopen(f"{url}/stats") as answer:
            seen = json.load(answer)
        assert len(store) == rows
        store.close()
    allowed = min(concurrency, places) / latency
    shares = {"of_limit": round(rows / seconds / allowed, 3), "refused": round(seen["refused"] / seen["requests"], 4)}
    return {
        "rows": rows,
        "seconds": round(seconds, 2),
        "per_second": round(rows / seconds, 1),
        **shares,
        "most": seen["most"],
    }


def main() -> None:
    """Print a Markdown table."""
    scenarios = {
        "1 s latency, 1,024 in flight": (18_162, 1024, 1.0, 1_000_000),
        "0.5 s latency, 429 beyond 40": (2_000, 1024, 0.5, 40),
    }
    print("| server | requests | s | requests/s | of its limit | refused |\n| --- | --- | --- | --- | --- | --- |")
    for name, (rows, concurrency, latency, places) in scenarios.items():
        found = measure(rows, concurrency, latency, places)
        numbers = f"{found['rows']:,} | {found['seconds']} | {found['per_second']:,}"
        print(f"| {name} | {numbers} | {found['of_limit']:.0%} | {found['refused']:.1%} |", flush=True)


if __name__ == "__main__":
    main()
