"""The sub-pipeline `fetch` under real `dvc`: it joins the pipeline where a knob names its folder."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fetch.hub_project import HubProject, entry
from tests.hub_server import HubServer, Received
from tests.imports import ROOT

SAMPLE = ROOT / "data" / "sample"
UP_TO_DATE = "Data and pipelines are up to date.\n"
ROLLOUTS = (SAMPLE / "rollouts" / "evals.jsonl").read_bytes().splitlines(keepends=True)
FETCH = "stages/fetch/dvc.yaml:fetch@base"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(tmp_path_factory.mktemp("hub")) as hub:
        hub.add("datasets", "org/bench", {"minibench.jsonl": (SAMPLE / "benchmark" / "minibench.jsonl").read_bytes()})
        hub.add("datasets", "org/base", {"data/train.jsonl": b"".join(ROLLOUTS[:20])})
        yield hub


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, hub: HubServer) -> HubProject:
    """The whole pipeline on its sample, pushed."""
    project = HubProject(tmp_path_factory.mktemp("fetch") / "project", hub)
    project.dvc("remote", "add", "--default", "local", str(project.folder.parent / "remote"))
    project.dvc("repro")
    project.commit("made")
    project.dvc("push")
    return project


@pytest.fixture(scope="module")
def asked_by_default(made: HubProject) -> list[Received]:
    """Requests to the Hub so far, which no test can have made: each of them waits for this."""
    return list(made.hub.received)


@pytest.fixture
def project(made: HubProject, asked_by_default: list[Received], tmp_path: Path) -> Iterator[HubProject]:
    copy = made.copy(tmp_path / "project")
    yield copy
    shutil.rmtree(copy.folder)


def check_clean(project: HubProject, clone: Path) -> None:
    """Push; a fresh clone pulls everything, has nothing to do, and asks no Hub."""
    project.commit("a version")
    project.dvc("push")
    fresh = project.cloned(clone)
    before = len(project.hub.received)

    assert "files added" in fresh.dvc("pull").stdout
    assert fresh.dvc("status").stdout == UP_TO_DATE
    assert fresh.dvc("repro").stdout.endswith(UP_TO_DATE)

    assert len(project.hub.received) == before
    assert fresh.git("status", "--short") == ""


def test_the_default_asks_no_hub(made: HubProject, asked_by_default: list[Received], tmp_path: Path) -> None:
    assert asked_by_default == []

    (made.folder / "note.txt").touch()
    check_clean(made, tmp_path / "clone")


def test_clones_are_clean_with_an_entry_and_after_it_is_removed(project: HubProject, tmp_path: Path) -> None:
    project.set_params(
        {"fetch": {"bench": entry("org/bench", "*.jsonl")}, "decontaminate": {"benchmarks": "data/hub/bench"}}
    )
    project.dvc("repro")
    check_clean(project, tmp_path / "with")

    project.set_params({"fetch": {}, "decontaminate": {"benchmarks": "data/sample/benchmark"}})
    project.dvc("repro")
    check_clean(project, tmp_path / "without")
    project.dvc("pull")
    assert project.git("status", "--short") == ""


def test_a_folder_that_a_knob_names_is_fetched_first_and_once(project: HubProject, hub: HubServer) -> None:
    """At the same commit also by force, in a clone, and without any cache, when the branch has moved on."""
    first = hub.repository("org/base").head
    project.set_params({"fetch": {"base": entry("org/base", "data/*")}, "ingest": {"base": "data/hub/base"}})
    told = project.dvc("repro", "ingest").stdout
    assert told.index(f"Running stage '{FETCH}'") < told.index("Running stage 'ingest'")
    assert project.resolved() == {"dataset/org/base@main#0": first}
    assert json.loads((project.folder / "data" / "metrics" / "ingest.json").read_text())["kept"] == 20
    lock = (project.folder / "stages" / "fetch" / "dvc.lock").read_bytes()
    hub.add("datasets", "org/base", {"data/train.jsonl": b"".join(ROLLOUTS[:30])})
    asked = len(hub.received)

    assert project.dvc("repro", "ingest").stdout.endswith(UP_TO_DATE)
    project.dvc("repro", "--force", "--single-item", FETCH)
    assert len(hub.received) == asked
    project.commit("fetched")
    clone = project.cloned(project.folder.parent / "clone")
    clone.dvc("repro", "ingest")

    for folder in (project.folder, clone.folder):
        assert (folder / "stages" / "fetch" / "dvc.lock").read_bytes() == lock
    assert clone.git("status", "--short") == ""
    assert [request.call for request in hub.received[asked:] if request.call == "info"] == []

    project.set_params({"fetch": {"base": entry("org/base", "data/*", refresh=1)}})
    project.dvc("repro", "ingest")
    assert json.loads((project.folder / "data" / "metrics" / "ingest.json").read_text())["kept"] == 30


def test_what_was_pulled_needs_no_hub_and_what_was_not_says_what_helps(project: HubProject, hub: HubServer) -> None:
    project.set_params({"fetch": {"base": entry("org/base", "data/*")}, "ingest": {"base": "data/hub/base"}})
    project.dvc("repro", "ingest")
    project.commit("fetched")
    project.dvc("push", "ingest", FETCH)
    asked = len(hub.received)
    pulled, empty = (project.cloned(project.folder.parent / name) for name in ("pulled", "empty"))

    pulled.dvc("pull", "ingest", FETCH)
    assert pulled.dvc("repro", "ingest", HF_HUB_OFFLINE="1").stdout.endswith(UP_TO_DATE)

    failed = empty.dvc("repro", "ingest", check=False, HF_HUB_OFFLINE="1")
    assert failed.returncode != 0
    assert (
        "fetch: dataset org/base at main: HF_HUB_OFFLINE is set, and not all of it is in the cache of" in failed.stderr
    )
    assert len(hub.received) == asked


def test_an_experiment_beside_the_workspace_may_add_an_entry(project: HubProject, hub: HubServer) -> None:
    """The project remembers the commit, so that the next experiment, which wants other files, is of the same."""
    asked = len(hub.calls("info"))
    values = {"repo": "org/base", "kind": "dataset", "revision": "main", "refresh": 0}
    knobs = ["ingest.base=data/hub/base", *(f"+fetch.base.{knob}={value}" for knob, value in values.items())]

    for name, files, limit in (("first", "['data/*']", 5), ("second", "['*.jsonl']", 6)):
        given = [*knobs, f"+fetch.base.files={files}", f"ingest.limit={limit}"]
        words = [word for knob in given for word in ("--set-param", knob)]
        told = project.dvc("exp", "run", "--temp", "--name", name, *words, "ingest").stdout
        assert f"Running stage '{FETCH}'" in told

    metrics = "data/metrics/ingest.json"
    difference = json.loads(project.dvc("metrics", "diff", "--json", "first", "second", "--targets", metrics).stdout)
    assert difference[metrics]["kept"] == {"old": 5, "new": 6, "diff": 1}
    assert len(hub.calls("info")) == asked + 1
    assert project.resolved() == {"dataset/org/base@main#0": hub.repository("org/base").head}
    assert project.git("status", "--short") == "?? stages/fetch/revisions.json\n"
    assert not (project.folder / "data" / "hub").exists()
