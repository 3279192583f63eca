"""Step 0 under real `dvc`: from modules to datasets in one go, by knobs only."""

import json
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from stages.rollout.rollout_params import Rollout
from stages.shared.cards import limitations
from stages.shared.responses.response_store import ResponseStore
from tests.chat_server import ChatServer
from tests.imports import ROOT
from tests.rollout.generation import ENTRY
from tests.rollout.rollout_project import PROMPTS, ROLLOUTS, RolloutProject, sample_kernels

DVC = yaml.safe_load((ROOT / "stages" / "rollout" / "dvc.yaml").read_text())["stages"]
KNOBS = {"limit": 6, "rollouts_per_example": 4, "seed": 0, "temperature": 0.6}
ONE = KNOBS | {"limit": 1, "rollouts_per_example": 1, "seed": 2}
"""One rollout, which is cut off, so that nothing is judged."""


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> RolloutProject:
    return RolloutProject(tmp_path_factory.mktemp("rollouts") / "project")


@pytest.fixture
def project(copied: RolloutProject, tmp_path: Path) -> Iterator[RolloutProject]:
    yield copied.clone(tmp_path / "project")
    shutil.rmtree(tmp_path / "project")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    with ChatServer(sample_kernels) as server:
        monkeypatch.setenv("LLM_BASE_URL", server.url)
        yield server


def ran(output: str) -> list[str]:
    """Stages whose command ran, in order."""
    return re.findall(r"Running stage '(?:stages/rollout/dvc.yaml:)?([^']+)'", output)


def stop_after(server: ChatServer, replies: int) -> None:
    """Kill the server once it has answered so often."""
    while len(server.answered) < replies:
        time.sleep(0.01)
    server.stop()


def test_every_knob_is_a_dep_of_the_stage_that_uses_it() -> None:
    """So that another formula does not generate anew."""
    declared = {name: DVC[name]["do"]["params"][0]["params.yaml"] for name in ("generate", "score")}
    knobs = {name: {entry.removeprefix("rollouts.${key}.") for entry in entries} for name, entries in declared.items()}

    assert knobs["score"] == {"mode", "formula", "timeout_s"}
    assert knobs["generate"] == set(Rollout.model_fields) - knobs["score"]


def test_right_and_wrong_kernels_become_datasets_in_one_go(project: RolloutProject, server: ChatServer) -> None:
    project.enter(**KNOBS)
    first = ran(project.dvc("repro").stdout)

    assert {"generate@sample", "score@sample", "ingest", "build@unique", "report"} <= set(first)
    assert first.index("ingest_modules") < first.index("generate@sample") < first.index("score@sample")
    assert first.index("score@sample") < first.index("ingest")
    assert len(server.received) == server.distinct == 24
    for stage in ("generate.sample", "score.sample", "ingest", "filter_reward", "select"):
        found = project.metrics(stage)
        dropped = sum(n for name, n in found.items() if name.startswith("dropped_"))
        assert found["rows_in"] == found["kept"] + dropped == 24, stage

    rows = project.lines(ROLLOUTS)
    by_copy = {copy: [row for row in rows if row["copy"] == copy] for copy in range(4)}
    assert {row["verdict"] for row in by_copy[0]} == {"ok"}
    assert all(row["reward"] > 0.85 for row in by_copy[0])
    assert Counter(row["reward"] for row in by_copy[1])[0.0] >= 3
    assert {(row["is_truncated"], row["reward"], row["verdict"]) for row in by_copy[2]} == {(True, 0.0, None)}
    assert {(row["answer"], row["reward"], row["verdict"]) for row in by_copy[3]} == {(None, 0.0, "wrong")}
    assert {row["completion"][0]["reasoning_content"] for row in by_copy[0]} == {"Row by row."}
    assert {row["completion"][0]["reasoning_content"] for row in by_copy[1]} == {"Quickly."}
    assert all(row["generation_ms"] > 0 and row["total_ms"] >= row["generation_ms"] for row in rows)
    assert all(row["scoring_ms"] > 0 for row in by_copy[0])
    unique = pq.read_table(project.folder / "data" / "datasets" / "unique" / "data").to_pylist()
    assert 4 <= len(unique) == len({row["info"]["module_name"] for row in unique})
    assert all(row["completion"][0]["reasoning_content"] for row in unique)

    cards = [project.folder / "data" / "datasets" / name / "README.md" for name in ("unique", "evals")]
    for card in (card.read_text() for card in cards):
        assert (
            "step 0 of this pipeline made those by the model `maker/tiny-1` (24). It scored 24 in mode `interpret`"
            in card
        )
        assert all(
            wrong not in card for wrong in (limitations.SOURCE_REWARDS, limitations.NOT_RECORDED, "No answer was run:")
        )

    locks = [project.folder / name for name in ("dvc.lock", "stages/rollout/dvc.lock")]
    before = [lock.read_bytes() for lock in locks]
    for stage in ("generate", "score"):
        project.dvc("repro", "--force", "--single-item", f"stages/rollout/dvc.yaml:{stage}@sample")
    assert [lock.read_bytes() for lock in locks] == before
    assert len(server.received) == 24


def test_an_entry_runs_only_when_it_is_the_base(project: RolloutProject, server: ChatServer) -> None:
    """And what is asked about decides what runs before it: rollouts from modules never pay for specifications."""
    project.enter(**ONE)
    project.set_knob("ingest", "base", "data/sample/rollouts")
    assert set(ran(project.dvc("repro", "ingest_modules", "ingest").stdout)) == {"ingest_modules", "ingest"}
    assert server.received == []

    project.set_knob("ingest", "base", ROLLOUTS)
    assert ran(project.dvc("repro", "ingest").stdout) == ["generate@sample", "score@sample", "ingest"]
    params = yaml.safe_load((project.folder / "params.yaml").read_text())
    params["rollouts"]["sample"]["prompts"] = "data/specs.parquet"
    (project.folder / "params.yaml").write_text(yaml.safe_dump(params))
    assert ran(project.dvc("repro", "ingest").stdout)[:2] == ["write_specs", "generate@sample"]
    assert len(server.received) == 2


def test_a_score_knob_does_not_generate_and_a_sampling_knob_does(project: RolloutProject, server: ChatServer) -> None:
    project.enter(**ONE)
    project.dvc("repro", "ingest")
    project.enter(**ONE | {"timeout_s": 20.0})
    assert ran(project.dvc("repro", "ingest").stdout)[0] == "score@sample"
    assert len(server.received) == 1
    project.enter(**ONE | {"limit": 2, "timeout_s": 20.0})
    assert ran(project.dvc("repro", "ingest").stdout) == ["generate@sample", "score@sample", "ingest"]
    assert len(server.received) == 2


def test_an_experiment_may_add_an_entry(project: RolloutProject, server: ChatServer) -> None:
    entry = ", ".join(f"{knob}: {json.dumps(value)}" for knob, value in (ENTRY | ONE | PROMPTS).items())
    project.dvc("exp", "run", "-S", f"+rollouts.sample={{{entry}}}", "-S", f"ingest.base={ROLLOUTS}", "ingest")

    assert len(project.lines(ROLLOUTS)) == len(server.received) == 1


def test_without_an_entry_dvc_has_nothing_to_miss(project: RolloutProject, tmp_path: Path) -> None:
    """The main pipeline is taken away, which misses its outs in a copy that was never reproduced."""
    for name in ("dvc.yaml", "dvc.lock"):
        (project.folder / name).unlink()
    project.dvc("remote", "add", "--default", "local", str(tmp_path / "remote"))
    for words in (["pull"], ["checkout"], ["push"], ["repro", "stages/rollout/dvc.yaml"]):
        project.dvc(*words)

    assert "There are no data or pipelines tracked" in project.dvc("status").stdout


def test_a_server_that_is_killed_ends_dvc_with_one_line_and_is_asked_for_the_rest(
    project: RolloutProject, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_PATIENCE_S", "1")
    monkeypatch.setenv("LLM_CONCURRENCY", "2")
    project.enter(**KNOBS | {"limit": 12})
    server.latency_s = 0.05
    project.dvc("repro", "ingest_modules")
    killer = threading.Thread(target=stop_after, args=(server, 20))
    killer.start()
    failed = project.dvc("repro", "ingest", check=False)
    killer.join()
    told = [line for line in failed.stderr.splitlines() if line.startswith("generate: ")]
    assert failed.returncode != 0
    assert re.fullmatch(r"generate: no answer for \d+ s, \d+ requests failed, the last with: connection: .*", told[-1])
    assert "Traceback" not in failed.stderr

    kept, sent = len(ResponseStore(project.folder / ".responses")), len(server.received)
    server.start()
    project.dvc("repro", "stages/rollout/dvc.yaml:generate@sample")
    assert 18 <= kept < 48
    assert len(server.received) - sent == 48 - kept
    assert len(project.lines("data/rollouts/sample/completions.jsonl")) == 48
