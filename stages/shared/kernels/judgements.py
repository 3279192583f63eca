"""Judgements of answers: what is stored is found, what is new is judged once, on all cores, and kept.

A judgement is stored like a reply of a model: the question is the code, what judges it and how long it may take.
"""

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from typing import Any, NamedTuple

from stages.shared.interruption import abandoned, handling, stopped_by
from stages.shared.kernels.judge import Judge, versions
from stages.shared.kernels.sandbox import host
from stages.shared.kernels.verdict import Job, Judgement, Mode
from stages.shared.progress import Progress
from stages.shared.responses.response_seed import seed
from stages.shared.responses.response_store import ResponseStore, StoredReply, request_key
from stages.shared.settings import environment, project_root, store_folder
from stages.shared.starters import are_there, starters

log = logging.getLogger("judgements")
_LOOK_EVERY_S = 0.5


class Owed(NamedTuple):
    """A job whose judgement is not stored."""

    key: str
    request: dict[str, Any]
    job: Job


class Judgements:
    """The stored judgements of one mode, one set of versions and one limit of time."""

    def __init__(self, store: ResponseStore, mode: Mode, versions: dict[str, str], timeout_s: float) -> None:
        self.store = store
        self._asked = {"verify": mode, "versions": versions, "timeout_s": timeout_s}

    def of(self, job: Job) -> StoredReply:
        """The judgement of a job that was judged; the reply has the fields of a `Judgement`."""
        stored = self.store.get(request_key(self._request(job), [], 0))
        assert stored is not None
        return stored

    def owed(self, jobs: Iterable[Job]) -> Iterator[Owed]:
        """The jobs without a judgement, equal ones once."""
        seen: set[str] = set()
        for job in jobs:
            request = self._request(job)
            key = request_key(request, [], 0)
            if key not in self.store and key not in seen:
                seen.add(key)
                yield Owed(key, request, job)

    def _request(self, job: Job) -> dict[str, Any]:
        return {
            **self._asked,
            "module_sha256": _sha256(job.python_code),
            "entry_point": job.entry_point,
            "module_name": job.module_name,
            "answer_sha256": None if job.answer is None else _sha256(job.answer),
        }


@contextmanager
def judged(stage: str, mode: Mode, timeout_s: float, jobs: Callable[[], Iterable[Job]]) -> Iterator[Judgements]:
    """Yield the judgements once there is one for every job.

    One run of a stage at a time: who waits for the lock finds the judgements of the other in the store.

    Args:
        stage: whose lock is held.
        mode: how answers are judged.
        timeout_s: CPU seconds that an answer may take.
        jobs: makes all jobs, the judged ones too; called up to three times.

    Raises:
        ValueError: what is missing, or why the run ended before its time. What was judged until then is stored.
    """
    root, parents = project_root(), starters()
    judged_by = versions(mode)
    store = ResponseStore(store_folder(root, environment(root)))
    judgements = Judgements(store, mode, judged_by, timeout_s)
    try:
        with store.lock(stage):
            if any(True for _ in judgements.owed(jobs())):
                seed(store, root)
            total = sum(1 for _ in judgements.owed(jobs()))
            if total:
                if gap := host.check():
                    log.warning("%s; VERIFY_UNSANDBOXED is set, so answers run without that protection", gap)
                log.info("%d answers to judge, the rest is stored", total)
                with Judge(mode, timeout_s, workers=total) as judge:
                    keep_all(
                        judge.judge,
                        judgements.owed(jobs()),
                        store,
                        workers=judge.workers,
                        total=total,
                        wanted=lambda: are_there(parents),
                    )
            yield judgements
    finally:
        store.close()


def keep_all(
    judge: Callable[[Job], Judgement],
    owed: Iterator[Owed],
    store: ResponseStore,
    *,
    workers: int,
    total: int,
    wanted: Callable[[], bool],
) -> None:
    """Judge every owed job in threads; each judgement is on disk before anything is made of it.

    Raises:
        ValueError: a signal came, or nobody waits for the results any more. What was judged is stored.
    """
    progress = Progress(log, total, "answer")
    verdicts: Counter[str] = Counter()
    running: dict[Future[tuple[Judgement, float]], Owed] = {}
    signals: list[int] = []
    pool = ThreadPoolExecutor(workers)
    try:
        # A signal is noted, as otherwise it would end the process in the middle of a line of the store.
        with handling(signals.append):
            while True:
                # One job each waits, so that no thread does.
                waiting = islice(owed, 2 * workers - len(running))
                running |= {pool.submit(_timed, judge, item.job): item for item in waiting}
                if not running:
                    return
                done, _ = wait(running, _LOOK_EVERY_S, FIRST_COMPLETED)
                failed = [error for error in (future.exception() for future in done) if error]
                found = [(running.pop(future), future.result()) for future in done if not future.exception()]
                store.add_all(
                    StoredReply(item.key, 0, item.request, asdict(verdict), elapsed_ms)
                    for item, (verdict, elapsed_ms) in found
                )
                verdicts.update(verdict.verdict for _, (verdict, _) in found)
                progress.tell(verdicts.total(), ", ".join(f"{n} {name}" for name, n in sorted(verdicts.items())))
                if failed:
                    raise failed[0]
                if signals:
                    raise stopped_by(signals[0])
                if not wanted():
                    raise abandoned()
    finally:
        # The threads that are inside a job end when the judge closes.
        pool.shutdown(wait=False, cancel_futures=True)
        progress.close()


def _timed(judge: Callable[[Job], Judgement], job: Job) -> tuple[Judgement, float]:
    """A judgement, and the milliseconds it took."""
    began = time.monotonic()
    judgement = judge(job)
    return judgement, round((time.monotonic() - began) * 1000, 1)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
