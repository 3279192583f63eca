"""Publishing while `dvc repro` writes, and the other way round."""

import json
import subprocess
import sys
from pathlib import Path

from tests.commands.small_project import TRAIN, SmallProject
from tests.hub_server import Fault, HubServer
from tests.project_copy import environment


def repro(project: SmallProject) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "dvc", "repro", "build@unique"]
    return subprocess.run(
        command, cwd=project.folder, capture_output=True, text=True, check=False, env=environment(), timeout=60
    )


def test_what_is_published_is_not_made_again_meanwhile(project: SmallProject, hub: HubServer, tmp_path: Path) -> None:
    """It is said that it is busy; a publish that was killed keeps nobody out."""
    card = project.folder / "data/datasets/unique/README.md"
    before = card.read_text()
    hub.script = lambda request: Fault(delay_s=600) if request.call == "create" else None
    running = project.start("unique", "--rev", "v1", "--org", "org", hub=hub.environment(tmp_path / "home"))
    while not hub.calls("create"):
        assert running.poll() is None
    project.set_rows("unique", {"train": TRAIN[:1]})

    done = repro(project)

    assert done.returncode != 0
    assert f"'{card.parent}' is busy" in done.stderr
    assert f"(PID {running.pid}): publish" in done.stderr
    assert card.read_text() == before
    running.kill()
    running.wait()
    assert repro(project).returncode == 0
    assert project.run("dvc", "status", "--quiet", "build@unique") == ""


def test_what_is_being_made_is_not_published(project: SmallProject) -> None:
    out = project.folder / "data/datasets/unique"
    holder = subprocess.Popen(["sleep", "60"])
    lock = {"write": {str(out): {"pid": holder.pid, "cmd": "dvc repro"}}, "read": {}}
    (project.folder / ".dvc/tmp/rwlock").write_text(json.dumps(lock))

    done = project.publish("unique", "--rev", "v1")

    holder.kill()
    holder.wait()
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"publish: dvc: '{out}' is busy, it is being blocked by: (PID {holder.pid}): dvc repro"
    )
    assert len(done.stderr.splitlines()) == 1
    assert project.publish("unique", "--rev", "v1").returncode == 0, "a process that is gone holds nothing"
