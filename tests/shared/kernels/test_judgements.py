"""How judgements are collected and kept; the judge is a function of the test, its verdicts are tested elsewhere."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stages.shared.kernels.judgements import Judgements, Owed, keep_all
from stages.shared.kernels.verdict import Job, Judgement
from stages.shared.responses.response_store import ResponseStore
from tests.shared.kernels.written_answers import right

VERSIONS = {"engine": "1", "triton": "3.7.1"}
OK = right(flags=["shape_rank"], torch_ops=["mean"])


def job(answer: str | None, **other: str) -> Job:
    return Job(**{"python_code": "module", "entry_point": "Net", "module_name": "net", "answer": answer, **other})  # type: ignore[arg-type]


def judgements(folder: Path, **other: object) -> Judgements:
    given = {"mode": "interpret", "versions": VERSIONS, "timeout_s": 30.0, **other}
    return Judgements(ResponseStore(folder), **given)  # type: ignore[arg-type]


def owed(found: Judgements, *answers: str) -> Iterator[Owed]:
    return found.owed([job(answer) for answer in answers])


def keep(
    judge: Callable[[Job], Judgement],
    jobs: Iterator[Owed],
    store: ResponseStore,
    *,
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    keep_all(judge, jobs, store, workers=2, total=0, wanted=wanted)


def test_every_job_is_judged_once_and_found_again_by_another_process(tmp_path: Path) -> None:
    found = judgements(tmp_path)
    judged: list[str | None] = []

    def judge(job: Job) -> Judgement:
        judged.append(job.answer)
        return OK

    keep(judge, owed(found, "a", "b", "a", "c"), found.store)
    again = judgements(tmp_path)

    assert sorted(map(str, judged)) == ["a", "b", "c"]
    assert list(owed(again, "c", "b", "a")) == []
    stored = again.of(job("b"))
    assert stored.reply == {
        "verdict": "ok",
        "has_kernel": True,
        "launches": 1,
        "compiles": True,
        "correct": True,
        "flags": ["shape_rank"],
        "torch_ops": ["mean"],
        "detail": None,
        "speedup": None,
    }
    assert stored.request == {
        "verify": "interpret",
        "versions": VERSIONS,
        "timeout_s": 30.0,
        "module_sha256": "120970d812836f19888625587a4606a5ad23cef31c8684e601771552548fc6b9",
        "entry_point": "Net",
        "module_name": "net",
        "answer_sha256": "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d",
    }


@pytest.mark.parametrize(
    "other",
    [{"mode": "cuda"}, {"timeout_s": 31.0}, {"versions": {**VERSIONS, "engine": "2"}}],
    ids=["mode", "limit of time", "version"],
)
def test_a_judgement_counts_only_for_what_it_was_made_under(tmp_path: Path, other: dict[str, object]) -> None:
    found = judgements(tmp_path)
    keep(lambda _: OK, owed(found, "a"), found.store)

    assert [item.job.answer for item in owed(judgements(tmp_path, **other), "a")] == ["a"]


@pytest.mark.parametrize("other", [{"python_code": "x"}, {"entry_point": "x"}, {"module_name": "x"}, {"answer": "x"}])
def test_a_judgement_counts_only_for_its_module_and_answer(tmp_path: Path, other: dict[str, str]) -> None:
    found = judgements(tmp_path)
    keep(lambda _: OK, owed(found, "a"), found.store)
    changed = job(**{"answer": "a", **other})

    assert [item.job for item in found.owed([job("a"), changed, changed])] == [changed]


def test_a_missing_answer_is_a_job_like_any_other(tmp_path: Path) -> None:
    found = judgements(tmp_path)
    keep(lambda _: OK, found.owed([job(None), job(None)]), found.store)

    assert found.of(job(None)).request["answer_sha256"] is None


def test_a_judgement_is_on_disk_before_the_run_ends(tmp_path: Path) -> None:
    """The second job ends only when another process could read the first."""
    found = judgements(tmp_path)

    def judge(job: Job) -> Judgement:
        while job.answer == "b" and list(owed(judgements(tmp_path), "a")) != []:
            pass
        return OK

    keep(judge, owed(found, "a", "b"), found.store)

    assert len(found.store) == 2


def test_jobs_are_taken_only_as_fast_as_they_are_judged(tmp_path: Path) -> None:
    found = judgements(tmp_path)
    taken = ended = most = 0
    lock = threading.Lock()

    def jobs() -> Iterator[Owed]:
        nonlocal taken, most
        for item in owed(found, *map(str, range(50))):
            taken += 1
            most = max(most, taken - ended)
            yield item

    def judge(_: Job) -> Judgement:
        nonlocal ended
        with lock:
            ended += 1
        return OK

    keep(judge, jobs(), found.store)

    assert (taken, ended) == (50, 50)
    assert most <= 5


def test_jobs_are_judged_at_the_same_time(tmp_path: Path) -> None:
    found = judgements(tmp_path)
    both = threading.Barrier(2, timeout=10)

    def judge(_: Job) -> Judgement:
        both.wait()
        return OK

    keep(judge, owed(found, "a", "b", "c", "d"), found.store)

    assert len(found.store) == 4


def test_a_judge_that_breaks_ends_the_run_and_keeps_what_was_judged(tmp_path: Path) -> None:
    found = judgements(tmp_path)

    def judge(job: Job) -> Judgement:
        if job.answer == "c":
            raise OSError("no more processes")
        return OK

    with pytest.raises(OSError, match="no more processes"):
        keep(judge, owed(found, *"abcdefgh"), found.store)

    assert {"a", "b"} <= {item for item in "abcdefgh" if job(item) not in [o.job for o in owed(found, *"abcdefgh")]}
    assert "c" in [item.job.answer for item in owed(found, *"abcdefgh")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_keeps_what_was_judged(tmp_path: Path, number: signal.Signals) -> None:
    found = judgements(tmp_path)
    before = signal.getsignal(number)
    stopped = threading.Event()

    def judge(job: Job) -> Judgement:
        if job.answer == "c":
            os.kill(os.getpid(), number)
        if job.answer in {"c", "d"}:
            assert stopped.wait(10)
        return OK

    with pytest.raises(ValueError, match=f"stopped by {number.name}; run again to go on"):
        keep(judge, owed(found, *"abcdefgh"), found.store)
    stopped.set()

    assert [item.job.answer for item in owed(found, *"abcdefgh")] == list("cdefgh")
    assert signal.getsignal(number) == before


def test_a_run_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    found = judgements(tmp_path)

    with pytest.raises(ValueError, match="the process that started this run is gone"):
        keep(lambda _: OK, owed(found, *"abcdefgh"), found.store, wanted=lambda: len(found.store) < 2)

    assert 2 <= len(found.store) < 8
