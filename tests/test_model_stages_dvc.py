"""Stages that ask a model under real `dvc`: experiments, clones and older versions share what was paid for."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chat_server import Action, ChatServer, Received, chat, rate
from tests.project_copy import ProjectCopy, environment

STAGE = "rate_difficulty"
REWARDS = (1.0, 0.83, 0.6)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ProjectCopy:
    """A copy that is reproduced up to the rater's inputs: 12 modules, 4 each with a reward of 1, 0.83 and 0.6."""
    project = ProjectCopy(tmp_path_factory.mktemp("model") / "project")
    base = project.folder / "data" / "sample" / "rollouts"
    rows = [json.loads(line) for line in (base / "evals.jsonl").read_text().splitlines()]
    modules = list({row["info"]["python_code"].strip(): row for row in rows if (row["reward"] or 0) > 0.85}.values())[
        :12
    ]
    shutil.rmtree(base)
    base.mkdir()
    lines = [json.dumps(row | {"reward": REWARDS[i // 4]}) for i, row in enumerate(modules)]
    (base / "evals.jsonl").write_text("\n".join(lines))
    for knob, value in {"rater": "llm", "provider": "custom", "model": "scripted"}.items():
        project.set_knob(STAGE, knob, value)
    project.dvc("remote", "add", "--default", "local", str(project.folder.parent / "remote"))
    project.dvc("repro", "filter_reward")
    commit(project, "base")
    return project


@pytest.fixture
def project(made: ProjectCopy, tmp_path: Path) -> Iterator[ProjectCopy]:
    yield made.clone(tmp_path / "project")
    shutil.rmtree(tmp_path / "project")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    with ChatServer() as server:
        monkeypatch.setenv("LLM_BASE_URL", server.url)
        yield server


def sent(server: ChatServer) -> int:
    """Requests since the last call; none was sent twice."""
    assert len(server.received) == server.distinct
    before = server.__dict__.setdefault("seen", 0)
    server.__dict__["seen"] = len(server.received)
    return len(server.received) - int(before)


def commit(project: ProjectCopy, message: str) -> None:
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", message)


def replies(project: ProjectCopy) -> int:
    """Lines of the responses file, one per module."""
    return len((project.folder / "data" / "responses" / f"{STAGE}.jsonl").read_bytes().splitlines())


def test_a_cutoff_asks_for_new_modules_only_and_the_old_one_asks_nothing(
    project: ProjectCopy, server: ChatServer
) -> None:
    """Nor does a forced rerun, which gives the same bytes."""
    project.dvc("repro", STAGE)
    lock = (project.folder / "dvc.lock").read_bytes()
    assert sent(server) == replies(project) == 4

    project.set_knob("filter_reward", "cutoff", 0.8)
    project.dvc("repro", STAGE)
    assert sent(server) == replies(project) - 4 == 4

    project.set_knob("filter_reward", "cutoff", 0.85)
    again = project.dvc("repro", STAGE).stdout
    assert f"Stage '{STAGE}' is cached - skipping run" in again
    project.dvc("repro", "--force", "--single-item", STAGE)
    assert sent(server) == 0
    assert (project.folder / "dvc.lock").read_bytes() == lock


def test_an_experiment_beside_the_workspace_shares_its_requests(project: ProjectCopy, server: ChatServer) -> None:
    """Both ask for the same modules at the same time, the experiment for more of them."""
    server.latency_s = 4.0
    words = ["exp", "run", "--temp", "--set-param", "filter_reward.cutoff=0.8", "--name", "lower", STAGE]
    beside = subprocess.Popen(
        [sys.executable, "-m", "dvc", *words],
        cwd=project.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not server.received:
        time.sleep(0.05)  # DVC puts the workspace aside for a moment when it starts an experiment
    project.dvc("repro", STAGE)
    told = beside.communicate()[0]

    assert beside.returncode == 0, told
    assert sent(server) == 8
    assert replies(project) == 4
    assert len(list((project.folder / ".responses").glob("*.jsonl"))) in {1, 2}


def test_a_fresh_clone_pays_for_no_version_that_was_pushed(
    project: ProjectCopy, server: ChatServer, tmp_path: Path
) -> None:
    """Of two versions the clone pulls one, and makes one that has rows of the older one only there."""
    for cutoff in (0.5, 0.9):
        project.set_knob("filter_reward", "cutoff", cutoff)
        project.dvc("repro", STAGE)
        commit(project, f"cutoff {cutoff}")
    project.dvc("push", "--all-commits")
    assert (sent(server), replies(project)) == (12, 4)
    clone = ProjectCopy.__new__(ProjectCopy)
    clone.folder = tmp_path / "clone"
    project.git("clone", "--quiet", str(project.folder), str(clone.folder))

    clone.dvc("pull", STAGE)
    assert "up to date" in clone.dvc("repro", "--pull", STAGE).stdout
    assert replies(clone) == 4
    clone.set_knob("filter_reward", "cutoff", 0.8)
    clone.dvc("repro", "--pull", STAGE)
    assert replies(clone) == 8
    assert sent(server) == 0


def test_a_failed_row_leaves_the_stage_to_be_run_again(project: ProjectCopy, server: ChatServer) -> None:
    """And what was paid for to be found."""
    stubborn: list[str] = []

    def script(received: Received) -> Action:
        stubborn[:] = stubborn or [received.prompt]
        return chat("I do not know.") if received.prompt == stubborn[0] else rate(received)

    server.script = script
    failed = project.dvc("repro", STAGE, check=False)
    assert failed.returncode != 0
    assert "1 of 4 rows failed for good, rate_difficulty.max_failed_fraction is 0.0" in failed.stderr
    project.set_knob(STAGE, "max_failed_fraction", 1.0)
    project.dvc("repro", STAGE)

    assert len(server.received) == 4 + 3
    assert '"unrated": 1' in (project.folder / "data" / "metrics" / f"{STAGE}.json").read_text()
