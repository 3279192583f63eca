"""Get all questions of a stage answered: what is stored is free, what is new is paid for once and kept."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvloop

from stages.shared.interruption import SIGNALS, abandoned, stopped_by
from stages.shared.models.admission import Endpoint
from stages.shared.models.budget import Budget, BudgetError, Prices
from stages.shared.models.chat_client import ChatClient, LostError, RejectedError, ServerError
from stages.shared.models.question import Question, state
from stages.shared.progress import Progress
from stages.shared.responses.response_store import REJECTED, ResponseStore, StoredReply, request_key
from stages.shared.starters import are_there, starters

log = logging.getLogger("asking")
_GRACE_S = 1.0
_LOOK_EVERY_S = 0.5
_TOLD_EVERY_S = 0.5


@dataclass
class Run:
    """One run over the owed questions, as its workers and its progress line see it."""

    store: ResponseStore
    client: ChatClient
    budget: Budget
    prices: Prices
    total: int
    fault: Callable[[], ValueError | None] = lambda: None
    """Why the server will answer no more, where that is known without asking it."""
    proven: bool = False
    """Whether the store has an answer to one of the questions: so the set-up was right once."""
    answered: int = 0
    rejected: list[tuple[Endpoint, StoredReply]] = field(default_factory=list)
    """Rejections that may be due to the set-up of their endpoint, which has not answered yet."""
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

            async def keep(
                reply: dict[str, Any], elapsed_ms: float, key: str = key, attempt: int = attempt, body: Any = body
            ) -> None:
                self.budget.settle(self.prices.cost(body["model"], reply))
                await self.store.add(StoredReply(key, attempt, body, reply, elapsed_ms))

            try:
                await self.client.send(body, self.budget.reserve, self.budget.give_back, keep)
            except RejectedError as error:
                told = StoredReply(key, attempt, body, {REJECTED: str(error)})
                self.rejected.append((error.endpoint, told))
                await self.keep_rejections()
                return
            self.priced.set()
            await self.keep_rejections()
            owed = state(question, self.store).owed
        self.answered += not owed

    async def keep_rejections(self, *, at_the_end: bool = False) -> None:
        """Store the rejections that are due to their requests: their endpoint takes others.

        At the end of a run in which it took none, an answer of an earlier run tells the same.
        """
        held, self.rejected = self.rejected, []
        for endpoint, reply in held:
            if endpoint.has_answered or (at_the_end and self.proven):
                await self.store.add(reply)
                self.answered += 1
            elif at_the_end:
                self.lost[str(reply.reply[REJECTED])] += 1
            else:
                self.rejected.append((endpoint, reply))


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
    fault: Callable[[], ValueError | None] = lambda: None,
) -> None:
    """Return when every question is answered, or has failed for good.

    Args:
        questions: makes all questions of the stage, the answered ones too; called twice.
        store: where replies come from and go to.
        client: makes the client, if there is anything to ask.
        budget: the caps.
        prices: what a reply costs.
        workers: how many questions are under way at a time.
        fault: looked at all the time; an error ends the run.

    Raises:
        ValueError: questions are left, and why. All replies that came are stored.
    """
    owed, proven = 0, False
    for question in distinct(questions()):
        found = state(question, store)
        owed += found.owed is not None
        proven = proven or found.text is not None
    if not owed:
        return
    log.info("%d requests to pay for, the rest is stored", owed)
    run = Run(store, client(), budget, prices, owed, fault, proven)
    # It halves the cost of a request.
    uvloop.run(_run(run, distinct(questions()), workers))
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
    watchers = [asyncio.create_task(_progress(run)), asyncio.create_task(_watch(run, stop))]
    loop = asyncio.get_running_loop()

    def interrupted(number: int) -> None:
        run.end(stopped_by(number))
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, interrupted, number)
    finished = asyncio.create_task(asyncio.wait(tasks))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([finished, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not finished.done():
            # Replies that are under way are paid for: they get a moment to arrive.
            await asyncio.wait(tasks, timeout=_GRACE_S)
        elif not run.ending:
            await run.keep_rejections(at_the_end=True)
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


async def _watch(run: Run, stop: asyncio.Event) -> None:
    """Stop when the server is gone, or the process that started this run: what nobody waits for must not spend."""
    parents = starters()
    while not (fault := await asyncio.to_thread(run.fault)) and are_there(parents):
        await asyncio.sleep(_LOOK_EVERY_S)
    run.end(fault or abandoned())
    stop.set()


async def _progress(run: Run) -> None:
    progress = Progress(log, run.total, "q")
    while True:
        await asyncio.sleep(_TOLD_EVERY_S)
        spend = f"{run.budget.spent:.4f} USD" if run.budget.spent or not run.budget.unpriced else "unknown USD"
        retries = run.client.counts.total()
        progress.tell(run.answered, f"in flight {run.client.admission.in_flight}, {spend}, retries {retries}")
