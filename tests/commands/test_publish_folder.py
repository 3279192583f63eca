"""Publishing to a local folder, without a token and without a network."""

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.commands.publishing.local_folder import LocalFolder
from stages.commands.publishing.target import Package, State
from tests.commands.small_project import TRAIN, VALIDATION, SmallProject, row
from tests.commands.test_publish_parts import manifest
from tests.hub_server import HubServer
from tests.imports import ROOT

NAME = "kernelbook-tiny-evals-unique"


def files(folder: Path) -> dict[str, str]:
    """SHA-256 by path."""
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in found}


def published(project: SmallProject, *words: str) -> str:
    done = project.publish(*words)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_version_is_a_folder_that_never_changes(project: SmallProject) -> None:
    published(project, "all", "--rev", "v1")
    folder = project.folder / "data" / "published"
    before = files(folder)
    assert list(before) == [
        f"{NAME}/v1/README.md",
        f"{NAME}/v1/assets/picture.svg",
        f"{NAME}/v1/data/train-00000-of-00001.parquet",
        f"{NAME}/v1/data/validation-00000-of-00001.parquet",
        f"{NAME}/v1/manifest.json",
        "kernelbook-tiny-evals/v1/README.md",
        "kernelbook-tiny-evals/v1/assets/picture.svg",
        "kernelbook-tiny-evals/v1/data/train-00000-of-00001.parquet",
        "kernelbook-tiny-evals/v1/manifest.json",
    ]

    said = published(project, "all", "--rev", "v1")
    assert said.count("nothing to upload") == 2
    assert files(folder) == before
    assert project.run("git", "status", "--porcelain") == ""


def test_the_same_version_in_two_folders_is_the_same_bytes(project: SmallProject, tmp_path: Path) -> None:
    published(project, "unique", "--rev", "v1", "--to", str(tmp_path / "one"))
    published(project, "unique", "--rev", "v1", "--to", str(tmp_path / "two"))

    assert files(tmp_path / "one") == files(tmp_path / "two")


@pytest.mark.parametrize("tracked", [False, True], ids=["all in git", "an input in DVC"])
def test_the_commands_of_the_card_reproduce_it(project: SmallProject, tmp_path: Path, *, tracked: bool) -> None:
    """In a clone, with what the remote has; without a remote where DVC tracks nothing that is needed."""
    if tracked:
        project.run("git", "rm", "--quiet", "--cached", "rows/unique.json")
        project.run("dvc", "add", "--quiet", "rows/unique.json")
        project.run("dvc", "remote", "add", "--quiet", "--default", "storage", str(tmp_path / "storage"))
        project.make("an input in DVC")
        project.run("dvc", "push", "--quiet", "rows/unique.json.dvc")
    published(project, "unique", "--rev", "v1", "--to", str(tmp_path / "shared"))
    card = (tmp_path / "shared" / NAME / "v1" / "README.md").read_text()
    found = re.search(r"^uv run dvc (.*)$", card, re.MULTILINE)
    assert found
    clone = project.clone(tmp_path / "unused")
    clone.folder = tmp_path / "clone"
    project.run("git", "clone", "--quiet", str(project.folder), str(clone.folder))

    clone.run("dvc", *found[1].split())

    assert files(clone.folder / "data/datasets/unique") == files(project.folder / "data/datasets/unique")
    assert clone.run("git", "status", "--porcelain") == ""


def test_versions_follow_each_other(project: SmallProject, tmp_path: Path) -> None:
    """A second name is a link; the history has all names."""
    to = ("--to", str(tmp_path / "shared"))
    folder = tmp_path / "shared" / NAME
    published(project, "unique", "--rev", "v1", *to)
    published(project, "unique", "--rev", "first", *to)
    project.set_rows("unique", {"train": [*TRAIN, row("e")], "validation": VALIDATION})
    project.make("two")
    published(project, "unique", "--rev", "v2", *to)

    assert (folder / "first").readlink() == Path("v1")
    found = json.loads((folder / "v2" / "manifest.json").read_text())
    assert found["changes"] == {"added": 1, "removed": 0, "changed": 0}
    assert found["history"] == [{"revs": ["first", "v1"], "rows": 4, "changes": None}]
    done = project.publish("unique", "--rev", "first", *to)
    assert done.stderr.splitlines()[-1] == (
        f"publish: {folder}: first is there with other content; a version never changes: choose another --rev"
    )


def test_another_model_is_another_dataset_of_the_same_outs(project: SmallProject) -> None:
    """No stage depends on the section `publish`, so nothing is reproduced."""
    params = project.folder / "params.yaml"
    params.write_text(params.read_text().replace("model: tiny", "model: other-7b"))
    project.commit("another model")

    said = published(project, "unique", "--rev", "v1", "--dry-run")

    assert "data/published/kernelbook-other-7b-evals-unique: v1: 3 train, 1 validation rows" in said
    assert said.endswith("publish: dry run: nothing was published\n")
    assert not (project.folder / "data" / "published").exists()


def test_a_changed_file_of_a_version_is_found(project: SmallProject, tmp_path: Path) -> None:
    to = ("--to", str(tmp_path / "shared"))
    published(project, "unique", "--rev", "v1", *to)
    card = tmp_path / "shared" / NAME / "v1" / "README.md"
    card.write_text(card.read_text() + "More.\n")

    done = project.publish("unique", "--rev", "v1", *to)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"publish: {card.parent.parent}: README.md is not what manifest.json says: its SHA-256 or size differs"
    )


def package(**files: Path | bytes) -> Package:
    """A version of anything."""
    return Package(manifest(), files)


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    target = LocalFolder(tmp_path / "shared")

    with pytest.raises(FileNotFoundError):
        target.commit(package(first=b"first", second=tmp_path / "missing"), State(None, None))

    assert list((tmp_path / "shared").iterdir()) == []


def test_a_process_that_is_killed_leaves_no_version(tmp_path: Path) -> None:
    """It has written a file, and waits for a second one, a pipe that nobody writes to."""
    pipe, shared = tmp_path / "pipe", tmp_path / "shared"
    os.mkfifo(pipe)
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from stages.commands.publishing.local_folder import LocalFolder\n"
        "from stages.commands.publishing.target import State\n"
        "from tests.commands.test_publish_folder import package\n"
        "target = LocalFolder(Path(sys.argv[1]))\n"
        "target.commit(package(first=b'first', second=Path(sys.argv[2])), State(None, None))\n"
    )
    running = subprocess.Popen([sys.executable, "-c", script, str(shared), str(pipe)], cwd=ROOT)
    deadline = time.monotonic() + 30
    while not (shared / ".v1.partial" / "second").exists():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.kill()
    running.wait()

    target = LocalFolder(shared)
    assert target.state() == State(None, None)
    assert target.commit(package(first=b"first", second=b"second"), State(None, None)) == "v1"
    assert sorted(files(shared)) == ["v1/first", "v1/manifest.json", "v1/second"]


def test_another_process_that_publishes_there_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    opened = os.open(tmp_path / "shared", os.O_RDONLY)
    fcntl.flock(opened, fcntl.LOCK_EX)

    with pytest.raises(ValueError, match="another process is publishing there; run again"):
        LocalFolder(tmp_path / "shared").commit(package(), State(None, None))

    os.close(opened)
    assert list((tmp_path / "shared").iterdir()) == []


def test_a_version_that_came_in_between_stays(tmp_path: Path) -> None:
    target = LocalFolder(tmp_path / "shared")
    target.commit(package(first=b"mine"), State(None, None))

    with pytest.raises(ValueError, match="another version came in between; run again"):
        target.commit(package(first=b"yours"), State(None, None))

    assert (tmp_path / "shared/v1/first").read_bytes() == b"mine"


@pytest.mark.parametrize("org", ["--org", "publish.org"])
def test_without_a_token_it_is_the_local_folder(
    project: SmallProject, hub: HubServer, tmp_path: Path, org: str
) -> None:
    words = ["--org", "me"] if org == "--org" else []
    if not words:
        params = project.folder / "params.yaml"
        params.write_text(params.read_text().replace("org: null", "org: me"))
        project.commit("org")
    env = hub.environment(tmp_path / "home", token=None)

    done = project.publish("unique", "--rev", "v1", *words, hub=env)

    assert done.returncode == 0
    assert "HF_TOKEN is not set: publishing to the folder data/published instead of me on the Hub" in done.stderr
    assert hub.received == []
    assert (project.folder / "data" / "published" / NAME / "v1" / "manifest.json").exists()
