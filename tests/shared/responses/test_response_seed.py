"""In real repositories of git and DVC, with several committed versions of a responses file."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from stages.shared.responses.response_seed import seed
from stages.shared.responses.response_store import ResponseStore, StoredReply
from tests.project_copy import ProjectCopy

FILE = "data/responses/rate_difficulty.jsonl"


def replies(*names: str) -> bytes:
    return b"".join(msgspec.json.encode(StoredReply(name, 0, {}, {"text": name})) + b"\n" for name in names)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ProjectCopy:
    """Versions on main (a, b; then c), on a branch that was merged without its file (d), and an empty one."""
    config = "[core]\n    autostage = true\n    remote = near\n['remote \"near\"']\n    url = ../../remote\n"
    project = repository(tmp_path_factory.mktemp("seed") / "project", config)
    commit(project, replies("a", "b"))
    project.git("checkout", "--quiet", "-b", "side")
    commit(project, replies("b", "d"))
    project.git("checkout", "--quiet", "main")
    commit(project, replies("b", "c"))
    project.git("merge", "--quiet", "--strategy", "ours", "--message", "merge", "side")
    project.git("branch", "--delete", "--force", "side")
    commit(project, b"")
    return project


def repository(folder: Path, config: str) -> ProjectCopy:
    """One whose only stage copies the file `made` to the responses file."""
    project = object.__new__(ProjectCopy)
    project.folder = folder
    project.folder.mkdir()
    project.git("init", "--quiet", "--initial-branch", "main")
    project.dvc("init", "--quiet")
    (project.folder / ".dvc" / "config").write_text(config)
    (project.folder / "data" / "responses").mkdir(parents=True)
    (project.folder / "data" / "responses" / ".gitignore").write_text("/*.jsonl\n")
    command = f"{sys.executable} -c \"import shutil; shutil.copy('made', '{FILE}')\""
    (project.folder / "dvc.yaml").write_text(
        f"stages:\n  rate:\n    cmd: {command}\n    deps: [made]\n    outs: [{FILE}]\n"
    )
    return project


@pytest.fixture
def project(made: ProjectCopy, tmp_path: Path) -> ProjectCopy:
    project = made.clone(tmp_path / "project")
    (project.folder / ".dvc" / "config.local").write_text(f"['remote \"near\"']\n    url = {tmp_path / 'remote'}\n")
    return project


def commit(project: ProjectCopy, content: bytes) -> None:
    (project.folder / "made").write_bytes(content)
    project.dvc("repro", "--quiet")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "version")


def found(store: ResponseStore) -> str:
    return "".join(name for name in "abcd" if name in store)


def test_all_committed_versions_are_found_once_in_the_cache(project: ProjectCopy, tmp_path: Path) -> None:
    store = ResponseStore(tmp_path / "store")
    assert seed(store, project.folder) == 4
    assert found(store) == "abcd"
    files = {path: path.read_bytes() for path in store.folder.iterdir()}

    assert seed(store, project.folder) == 0
    assert seed(ResponseStore(store.folder), project.folder) == 0
    assert {path: path.read_bytes() for path in store.folder.iterdir()} == files


def test_versions_come_from_the_remote_when_the_cache_is_gone(
    project: ProjectCopy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One that was not pushed is skipped, and taken once it is there."""
    caplog.set_level("INFO")
    project.dvc("push", "--quiet", "--all-commits")
    pushed = {path: path.read_bytes() for path in (tmp_path / "remote").rglob("*") if path.is_file()}
    lost = next(path for path, content in pushed.items() if content == replies("b", "c"))
    lost.unlink()
    shutil.rmtree(project.folder / ".dvc" / "cache")

    store = ResponseStore(tmp_path / "store")
    assert seed(store, project.folder) == 3
    assert found(store) == "abd"
    assert "3 replies from 2 committed versions, 1 versions not to be had" in caplog.text
    lost.write_bytes(pushed[lost])
    assert seed(store, project.folder) == 1
    assert found(store) == "abcd"


def test_a_remote_may_be_younger_than_the_version_in_it(tmp_path: Path) -> None:
    """The configuration of no commit of that version names one."""
    project = repository(tmp_path / "project", "[core]\n    autostage = true\n")
    commit(project, replies("a", "b"))
    project.dvc("remote", "add", "--default", "near", str(tmp_path / "remote"))
    project.git("commit", "--quiet", "--all", "--message", "remote")
    project.dvc("push", "--quiet")
    shutil.rmtree(project.folder / ".dvc" / "cache")

    store = ResponseStore(tmp_path / "store")
    assert seed(store, project.folder) == 2
    assert found(store) == "ab"


def test_a_remote_may_have_been_replaced(project: ProjectCopy, tmp_path: Path) -> None:
    """What was pushed before is still in the old one."""
    project.dvc("push", "--quiet", "--all-commits")
    project.dvc("remote", "add", "--default", "other", str(tmp_path / "other"))
    project.git("commit", "--quiet", "--all", "--message", "remote")
    shutil.rmtree(project.folder / ".dvc" / "cache")

    store = ResponseStore(tmp_path / "store")
    assert seed(store, project.folder) == 4


@pytest.mark.parametrize("url", ["nowhere", "s3://bucket/prefix", "http://127.0.0.1:1/"])
def test_a_remote_that_cannot_be_reached_leaves_the_run_alone(
    project: ProjectCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    shutil.rmtree(project.folder / ".dvc" / "cache")
    endpoint = "\n    endpointurl = http://127.0.0.1:1" if url.startswith("s3") else ""
    target = tmp_path / url if url == "nowhere" else url
    (project.folder / ".dvc" / "config.local").write_text(f"['remote \"near\"']\n    url = {target}{endpoint}\n")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    store = ResponseStore(tmp_path / "store")

    assert seed(store, project.folder) == 0
    assert found(store) == ""


def test_without_git_or_history_there_is_nothing_to_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ResponseStore(tmp_path / "store")

    assert seed(store, tmp_path) == 0
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert seed(store, tmp_path) == 0
    monkeypatch.setenv("PATH", "")
    assert seed(store, tmp_path) == 0


def test_a_broken_lock_and_a_file_of_another_format_are_passed_over(project: ProjectCopy, tmp_path: Path) -> None:
    commit(project, b'{"question": 1}\n')
    (project.folder / "dvc.lock").write_text(f"<<<<<<< HEAD\n- {FILE}\n=======\n")
    project.git("commit", "--quiet", "--all", "--message", "conflict")
    store = ResponseStore(tmp_path / "store")

    assert seed(store, project.folder) == 4
    assert found(store) == "abcd"
