"""Get all questions of a stage answered: what is stored is free, what is new is paid for once and kept."""

import asyncio
import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
from tqdm import tqdm

from stages.shared.budget import Budget, BudgetError, Prices
from stages.shared.chat_client import ChatClient, LostError, ServerError
from stages.shared.question import Question, state
from stages.shared.response_store import ResponseStore, StoredReply, request_key

log = logging.getLogger("asking")
_GRACE_S = 1.0
_PARENT_EVERY_S = 0.5
_LINE_EVERY_S = 10.0
_SHELLS = frozenset({"sh", "dash", "bash", "zsh", "fish", "ksh"})


class StoppedError(ValueError):
    """The run was interrupted; every reply that came is kept."""


@dataclass
class Run:
    """One run over the owed questions, as its workers and its progress line see it."""

    store: ResponseStore
    client: ChatClient
    budget: Budget
    prices: Prices
    total: int
    answered: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    ending: ValueError | OSError | None = None
    """Why no further request is sent."""
    priced: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether a reply has shown what replies cost; a cap in USD lets only one request go before."""

    async def work(self, questions: Iterator[Question]) -> None:
        """Take questions until there are none, or the run ends."""
        for question in questions:
            try:
                await self._resolve(question)
            except LostError as error:
                self.lost[str(error)] += 1
            except (BudgetError, ServerError, OSError) as error:
                self.end(error)
            if self.ending:
                return
        self.priced.set()

    async def work_once_priced(self, questions: Iterator[Question]) -> None:
        """Work, once one reply has shown what replies cost."""
        await self.priced.wait()
        if not self.ending:
            await self.work(questions)

    def end(self, reason: ValueError | OSError) -> None:
        """Send nothing more. The replies that are under way are paid for: they are waited for."""
        self.ending = self.ending or reason
        self.priced.set()
        self.client.stop()

    async def _resolve(self, question: Question) -> None:
        owed = state(question, self.store).owed
        if not owed:
            return
        while owed and not self.ending:
            key, attempt, body = owed

            async def keep(reply: dict[str, Any], key: str = key, attempt: int = attempt, body: Any = body) -> None:
                self.budget.settle(self.prices.cost(body["model"], reply))
                await self.store.add(StoredReply(key, attempt, body, reply))

            await self.client.send(body, self.budget.reserve, self.budget.give_back, keep)
            self.priced.set()
            owed = state(question, self.store).owed
        self.answered += not owed


def distinct(questions: Iterable[Question]) -> Iterator[Question]:
    """Each request once: rows that ask the same share one reply."""
    seen: set[str] = set()
    for question in questions:
        key = request_key(question.body, question.sample, 0)
        if key not in seen:
            seen.add(key)
            yield question


def ask(
    questions: Callable[[], Iterable[Question]],
    store: ResponseStore,
    client: Callable[[], ChatClient],
    budget: Budget,
    prices: Prices,
    *,
    workers: int,
) -> None:
    """Return when every question is answered, or has failed for good.

    Args:
        questions: makes all questions of the stage, the answered ones too; called twice.
        store: where replies come from and go to.
        client: makes the client, if there is anything to ask.
        budget: the caps.
        prices: what a reply costs.
        workers: how many questions are under way at a time.

    Raises:
        ValueError: questions are left, and why. All replies that came are stored.
    """
    owed = sum(state(question, store).owed is not None for question in distinct(questions()))
    if not owed:
        return
    log.info("%d requests to pay for, the rest is stored", owed)
    run = Run(store, client(), budget, prices, owed)
    _event_loop_run(_run(run, distinct(questions()), workers))
    if run.ending:
        raise run.ending
    if run.lost:
        reason, n = run.lost.most_common(1)[0]
        raise ValueError(
            f"{run.lost.total()} of {owed} requests got no answer ({n} times: {reason}); run again to ask them"
        )


async def _run(run: Run, questions: Iterator[Question], workers: int) -> None:
    stop = asyncio.Event()
    others = run.work if run.budget.max_usd is None else run.work_once_priced
    works = [run.work, *[others] * (min(workers, run.total) - 1)]
    tasks = [asyncio.create_task(work(questions)) for work in works]
    watchers = [asyncio.create_task(_progress(run)), asyncio.create_task(_watch_parents(run, stop))]
    loop = asyncio.get_running_loop()

    def interrupted(name: str) -> None:
        run.end(StoppedError(f"stopped by {name}; run again to go on"))
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted, number.name)
    finished = asyncio.create_task(asyncio.wait(tasks))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([finished, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not finished.done():
            # Replies that are under way are paid for: they get a moment to arrive.
            await asyncio.wait(tasks, timeout=_GRACE_S)
    finally:
        # The store's own task is left alone: it writes the replies that came.
        for task in (finished, stopped, *tasks, *watchers):
            task.cancel()
        results = await asyncio.gather(*tasks, *watchers, return_exceptions=True)
        await run.store.drain()
        await run.client.close()
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _watch_parents(run: Run, stop: asyncio.Event) -> None:
    """A run that nobody waits for any more must not go on spending: stop when the process that started it is gone."""
    parents = list(_starters())
    while all(_is_there(parent) for parent in parents):
        await asyncio.sleep(_PARENT_EVERY_S)
    run.end(StoppedError("stopped: the process that started this run is gone"))
    stop.set()


def _starters() -> Iterator[psutil.Process]:
    """The parent; where it is the shell of one command line, as DVC may use it, also the parent of that."""
    with suppress(psutil.Error):
        process = psutil.Process().parent()
        while process:
            yield process
            process = process.parent() if "-c" in process.cmdline()[:4] and process.name() in _SHELLS else None


def _is_there(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def _progress(run: Run) -> None:
    """A bar on a terminal, a line every ten seconds in a log."""
    started = time.monotonic()
    bar = tqdm(total=run.total, unit="q", disable=not sys.stderr.isatty())
    while True:
        await asyncio.sleep(0.5 if sys.stderr.isatty() else _LINE_EVERY_S)
        elapsed = time.monotonic() - started
        rate = run.answered / elapsed
        retries = run.client.counts.total()
        spend = f"{run.budget.spent:.4f} USD" if run.budget.spent or not run.budget.unpriced else "unknown USD"
        told = f"in flight {run.client.admission.in_flight}, {spend}, retries {retries}"
        if bar.disable:
            eta = f"{(run.total - run.answered) / rate:.0f} s" if rate else "unknown"
            log.info("%d of %d, %.1f/s, ETA %s, %s", run.answered, run.total, rate, eta, told)
        else:
            bar.n = run.answered
            bar.set_postfix_str(told)


def _event_loop_run(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop  # noqa: PLC0415  # not on Windows; it halves the cost of a request
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
