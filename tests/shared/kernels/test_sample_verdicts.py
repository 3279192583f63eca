"""Every rollout of the sample is judged, and the formula `coverage` gives the reward that it came with."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from stages.rollout.rewards import reward
from stages.shared.code.syntax import entry_point
from stages.shared.formats.rollouts import normalise, read_rollouts
from stages.shared.kernels.judge import Judge
from stages.shared.kernels.verdict import Job, Judgement
from tests.imports import ROOT

VERDICTS = ROOT / "tests" / "fixtures" / "sample_verdicts.txt"
"""One line a row: module, verdict, launches, compiles, correct, flags, operations left to torch, kind of the detail."""


class Row(NamedTuple):
    """A rollout of the sample."""

    job: Job
    reward: float | None


@pytest.fixture(scope="module")
def sample() -> list[Row]:
    found = []
    for source in read_rollouts(ROOT / "data" / "sample" / "rollouts"):
        assert source.value is not None
        row = normalise(source.value)
        code = row["python_code"]
        job = Job(code, row["entry_point"] or entry_point(code), row["module_name"], row["answer"])
        found.append(Row(job, row["reward"]))
    return found


@pytest.fixture(scope="module")
def judgements(sample: list[Row], judging: Judge) -> list[Judgement]:
    return judge_all(judging, sample)


def judge_all(judging: Judge, rows: Sequence[Row]) -> list[Judgement]:
    with ThreadPoolExecutor(judging.workers) as pool:
        return list(pool.map(lambda row: judging.judge(row.job), rows))


def line(row: Row, found: Judgement) -> str:
    words = [row.job.module_name, found.verdict, found.launches, found.compiles, found.correct]
    words += [",".join(found.flags) or "-", ",".join(found.torch_ops) or "-", (found.detail or "-").split(": ")[0]]
    return " ".join(str(word) for word in words)


def test_every_row_has_its_verdict(sample: list[Row], judgements: list[Judgement]) -> None:
    found = [line(row, judgement) for row, judgement in zip(sample, judgements, strict=True)]

    assert found == VERDICTS.read_text().splitlines()


def test_the_formula_gives_every_reward_of_the_sample(sample: list[Row], judgements: list[Judgement]) -> None:
    given = [(place, row.reward) for place, row in enumerate(sample) if row.reward is not None]

    assert len(given) == len(sample) - 1
    assert [(place, reward(judgements[place], "coverage")) for place, _ in given] == given


def test_a_second_run_beside_other_work_gives_the_same(
    sample: list[Row], judgements: list[Judgement], judging: Judge
) -> None:
    some = slice(5, None, 9)

    with busy_machine():
        assert judge_all(judging, sample[some]) == judgements[some]


@contextmanager
def busy_machine() -> Iterator[None]:
    """More processes that work than there are cores."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()
