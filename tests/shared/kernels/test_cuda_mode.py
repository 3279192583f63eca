"""Mode `cuda` from end to end without a GPU: the tasks run on the processor, everything else is the product's own."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stages.shared.kernels import judge
from stages.shared.kernels.judge import Judge, versions
from stages.shared.kernels.verdict import Job, Judgement
from stages.verify import Params, run
from tests.shared.kernels.written_answers import right
from tests.stages import tables
from tests.verify_stage import MODULE, RIGHT, WRONG, record

SLOW = "import time\n" + RIGHT.replace("        out =", "        time.sleep(0.01)\n        out =")
STALE = RIGHT.replace("class ScaleNew(nn.Module):\n", "class ScaleNew(nn.Module):\n    calls = 0\n\n").replace(
    "        out =", "        self.calls += 1\n        if self.calls > 6:\n            return x\n        out ="
)
OK = right()


@pytest.fixture(scope="module", autouse=True)
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One whose driver names a GPU."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "nvidia-smi").write_text("#!/bin/sh\necho Paper GPU\n")
    (folder / "nvidia-smi").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        patch.setitem(judge.TASKS, "cuda", "tests.shared.kernels.cuda_on_cpu")
        yield


@pytest.fixture(scope="module")
def judging() -> Iterator[Judge]:
    with Judge("cuda", 30.0, workers=1) as judging:
        yield judging


def judged(judging: Judge, answer: str) -> Judgement:
    return judging.judge(Job(MODULE, "Scale", "Scale", answer))


def test_the_gpu_is_a_part_of_what_judges() -> None:
    assert versions("cuda") == versions("interpret") | {"gpu": "Paper GPU"}


def test_a_right_answer_is_timed(judging: Judge) -> None:
    found, slow = judged(judging, RIGHT), judged(judging, SLOW)

    assert replace(found, speedup=None) == replace(slow, speedup=None) == OK
    assert found.speedup is not None
    assert slow.speedup is not None
    assert 0 < slow.speedup < found.speedup


def test_a_wrong_answer_is_not_timed(judging: Judge) -> None:
    found = judged(judging, WRONG)

    assert (found.verdict, found.correct, found.speedup) == ("wrong", False, None)


def test_an_answer_that_stops_working_after_a_few_calls_is_wrong(judging: Judge) -> None:
    found = judged(judging, STALE)

    assert found == replace(
        OK,
        verdict="wrong",
        correct=False,
        flags=["cached_output"],
        detail="values: a call that was timed did not return what the module returns for its inputs",
    )


def test_the_stage_writes_speedups_that_a_rerun_does_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    files = tables.write(tmp_path, records=[record("right", RIGHT), record("wrong", WRONG), record("again", RIGHT)])
    params = Params(mode="cuda", min_reward=0.0, timeout_s=30.0)
    runs = [
        run(params, **files, verdicts=tmp_path / f"{name}.parquet", responses=tmp_path / f"{name}.jsonl")
        for name in ("first", "second")
    ]
    first, second = (tables.rows(tmp_path / f"{name}.parquet") for name in ("first", "second"))

    assert (first, runs[0]) == (second, runs[1])
    assert (tmp_path / "first.jsonl").read_bytes() == (tmp_path / "second.jsonl").read_bytes()
    speedup, none, again = (row["speedup"] for row in first)
    assert speedup == again > 0
    assert none is None
    assert runs[0]["speedup"] == {"median": speedup, "faster": 2 * (speedup > 1)}
