"""The whole pipeline on the embedded sample, by real `dvc` commands in a fresh repository without cache."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from tests.hub_server import HubServer
from tests.imports import ROOT
from tests.prime_rl_reader import read_messages, reasoning_of
from tests.project_copy import ProjectCopy, environment

BUILDS = {f"build@{name}" for name in yaml.safe_load((ROOT / "params.yaml").read_text())["variants"]}
AFTER_CUTOFF = {"filter_reward", "rate_difficulty", "dedupe", "select", "recommend_seq_len", "report"} | BUILDS
DATASETS = ("filtered", "filtered-no-reasoning", "unique", "unique-no-reasoning", "evals", "synthetic-tasks")


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> ProjectCopy:
    """A fresh copy after one `dvc repro`; tests that change it work on a clone."""
    project = ProjectCopy(tmp_path_factory.mktemp("fresh") / "project")
    project.dvc("repro")
    return project


@pytest.fixture
def project(reproduced: ProjectCopy, tmp_path: Path) -> Iterator[ProjectCopy]:
    yield reproduced.clone(tmp_path / "project")
    shutil.rmtree(tmp_path / "project")


def ran(output: str) -> set[str]:
    """Stages whose command ran."""
    return set(re.findall(r"Running stage '([^']+)'", output))


def restored(output: str) -> set[str]:
    """Stages whose outs came from the run cache."""
    return set(re.findall(r"Stage '([^']+)' is cached - skipping run", output))


def load(folder: Path, tmp_path: Path) -> dict[str, int]:
    """Rows of each split, as `datasets.load_dataset` reads the folder offline; whole values pass through Arrow."""
    script = (
        "import sys, json, datasets\n"
        "found = datasets.load_dataset(sys.argv[1])\n"
        "print(json.dumps({name: len(list(split)) for name, split in found.items()}))"
    )
    env = environment() | {"HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False, env=env
    )
    assert done.returncode == 0, done.stderr
    rows: dict[str, int] = json.loads(done.stdout)
    return rows


def metrics(project: ProjectCopy, name: str) -> dict[str, Any]:
    """Metrics of a stage."""
    found: dict[str, Any] = json.loads((project.folder / "data" / "metrics" / f"{name}.json").read_text())
    return found


def test_a_fresh_clone_reproduces_every_committed_byte(reproduced: ProjectCopy) -> None:
    """`dvc.lock` holds the hash of every out, git the metrics and plots."""
    assert reproduced.git("status", "--porcelain") == ""


def test_nothing_is_declared_that_the_default_does_not_make(reproduced: ProjectCopy) -> None:
    assert "up to date" in reproduced.dvc("status").stdout
    reproduced.dvc("checkout")
    assert ran(reproduced.dvc("repro").stdout) == set()


def test_every_dataset_loads_offline(reproduced: ProjectCopy, tmp_path: Path) -> None:
    for name in DATASETS:
        rows = load(reproduced.folder / "data" / "datasets" / name, tmp_path)
        if f"build@{name}" in BUILDS:
            assert rows == metrics(reproduced, f"build.{name}")["splits"]
        else:
            assert list(rows) == ["train"]
            assert rows["train"] == metrics(reproduced, f"build_{'evals' if name == 'evals' else 'specs'}")["kept"] > 0


def test_prime_rl_reads_every_row(reproduced: ProjectCopy) -> None:
    """With the reasoning where its renderers look for it, and none in the twins."""
    for name in DATASETS[:4]:
        rows = pq.read_table(reproduced.folder / "data" / "datasets" / name / "data").to_pylist()
        read = [read_messages(row) for row in rows]
        reasoned = [reasoning_of(messages[-1]) for messages in read]

        assert all(
            [m["role"] for m in messages] == ["user", "assistant"] and all(m["content"] for m in messages)
            for messages in read
        )
        assert sum(map(bool, reasoned)) == (
            0 if "no-reasoning" in name else sum(bool(r["completion"][0]["reasoning_content"]) for r in rows)
        )
        assert any(reasoned) == ("no-reasoning" not in name)


def test_every_stage_accounts_for_every_row(reproduced: ProjectCopy) -> None:
    for file in (reproduced.folder / "data" / "metrics").glob("*.json"):
        found = metrics(reproduced, file.stem)
        dropped = sum(n for name, n in found.items() if name.startswith("dropped_"))
        assert found["rows_in"] == found["kept"] + dropped, file.name
    over_all = ("verify", "filter_reward", "measure_lengths", "select", "build_evals", "build.unique", "report")
    assert {metrics(reproduced, name)["rows_in"] for name in over_all} == {metrics(reproduced, "ingest")["kept"]}


def test_a_forced_rerun_gives_the_same_bytes(project: ProjectCopy) -> None:
    lock = (project.folder / "dvc.lock").read_bytes()

    project.dvc("repro", "--force")

    assert (project.folder / "dvc.lock").read_bytes() == lock


def test_a_new_cutoff_reruns_what_is_downstream_and_the_old_one_is_cached(project: ProjectCopy) -> None:
    kept = metrics(project, "filter_reward")["kept"]
    project.set_knob("filter_reward", "cutoff", 0.8)
    changed = project.dvc("repro").stdout
    assert ran(changed) == AFTER_CUTOFF
    assert metrics(project, "filter_reward")["kept"] > kept

    project.set_knob("filter_reward", "cutoff", 0.85)
    reverted = project.dvc("repro").stdout
    # The run cache restores outs; a stage that only writes metrics into git has none.
    assert ran(reverted) == {"recommend_seq_len"}
    assert restored(reverted) == AFTER_CUTOFF - {"recommend_seq_len"}
    assert project.git("status", "--porcelain", "--", "dvc.lock", "data") == ""


def test_a_sweep_leaves_the_workspace_and_writes_no_dataset(project: ProjectCopy) -> None:
    done = project.dvc("exp", "run", "--temp", "--set-param", "filter_reward.cutoff=0.9", "--name", "high", "report")

    assert ran(done.stdout) == AFTER_CUTOFF - BUILDS
    assert project.git("status", "--porcelain") == ""
    shown = json.loads(project.dvc("exp", "show", "--json").stdout)
    assert "high" in json.dumps(shown)


def test_a_trial_of_five_rows_runs_to_the_end(project: ProjectCopy, tmp_path: Path) -> None:
    project.set_knob("ingest", "limit", 5)

    project.dvc("repro")

    for name in DATASETS[:4]:
        folder, found = project.folder / "data" / "datasets" / name, metrics(project, f"build.{name}")
        assert found["rows_in"] == 5
        if found["kept"]:
            assert load(folder, tmp_path) == found["splits"]
        else:
            assert "no rows" in (folder / "README.md").read_text()


def test_user_data_is_tracked_survives_checkout_and_works_in_an_experiment(project: ProjectCopy) -> None:
    lines = (ROOT / "data/sample/rollouts/evals.jsonl").read_text().splitlines(keepends=True)[:30]
    own = project.folder / "data" / "input" / "own.jsonl"
    own.parent.mkdir()
    own.write_text("".join(lines))
    project.dvc("add", "data/input/own.jsonl")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "own data")

    project.dvc("checkout")
    assert own.exists()
    words = ("--set-param", "ingest.base=data/input/own.jsonl", "--name", "own", "report")
    project.dvc("exp", "run", "--temp", *words)
    project.set_knob("ingest", "base", "data/input/own.jsonl")
    project.dvc("repro", "report")

    assert metrics(project, "report")["rows_in"] == 30
    assert own.read_text() == "".join(lines)


def test_a_killed_run_starts_again_where_it_was(tmp_path: Path) -> None:
    project = ProjectCopy(tmp_path / "project")
    running = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=project.folder,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    for line in running.stdout:
        if "Running stage 'verify'" in line:
            break
    time.sleep(0.3)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()

    again = project.dvc("repro")

    assert not {"ingest", "ingest_modules"} & ran(again.stdout)
    assert project.git("status", "--porcelain") == ""
    assert list(project.folder.rglob("*.partial")) == []


def test_another_python_gives_the_same_bytes(tmp_path: Path) -> None:
    """Python 3.11 and 3.13 where both exist; the sample has nested f-strings, match, walrus and decorators."""
    other = "3.13" if sys.version_info[:2] != (3, 13) else "3.11"
    found = subprocess.run(
        ["uv", "python", "find", "--no-python-downloads", other], capture_output=True, text=True, check=False
    )
    project = ProjectCopy(tmp_path / "project")
    python = other if found.returncode == 0 else f"{sys.version_info[0]}.{sys.version_info[1]}"
    env = {
        name: value for name, value in environment().items() if name not in {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"}
    }
    words = ["uv", "run", "--quiet", "--python", python, "--no-python-downloads", "dvc", "repro"]

    done = subprocess.run(words, cwd=project.folder, env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert project.git("status", "--porcelain") == ""


def test_every_dataset_is_published_and_the_second_time_nothing_is(project: ProjectCopy, tmp_path: Path) -> None:
    """To a Hub on this machine. The command itself reads every version back and compares its rows."""
    command = [sys.executable, "-m", "stages", "publish", "all", "--rev", "v1", "--org", "org"]
    names = ["-".join(["kernelbook-glm4_7-evals", *([name] if name != "evals" else [])]) for name in DATASETS[:5]]
    with HubServer(tmp_path / "hub") as hub:
        env = environment() | hub.environment(tmp_path / "home")
        for uploads in (len(DATASETS), 0):
            before = len(hub.calls("commit"))
            done = subprocess.run(command, cwd=project.folder, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert len(hub.calls("commit")) - before == uploads
        assert {name for _, name in hub.repositories.all} == {
            f"org/{n}" for n in [*names, "kernelbook-synthetic-tasks"]
        }
        assert all(found.tags == {"v1": found.head} for found in hub.repositories.all.values())
