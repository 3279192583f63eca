"""A publish that is killed, at every moment that can be told apart."""

import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.commands.small_project import TRAIN, VALIDATION, SmallProject, row
from tests.hub_server import Fault, HubServer, Received

NAME = "org/kernelbook-tiny-evals-unique"
BEFORE_COMMIT = ["info", "validate_yaml", "preupload", "lfs_upload", "lfs_verify", "commit"]
"""The process is killed when the Hub gets the request, and does nothing of it."""
AFTER_COMMIT = ["commit", "tag", "resolve"]
"""It is killed when the Hub has done what the request asks."""


def is_whole(hub: HubServer, revision: str) -> bool:
    """Whether a revision is exactly the files of its manifest."""
    repository = hub.repository(NAME)
    files = {path: hub.repositories.read(repository, path, revision) for path in repository.files(revision)}
    listed: dict[str, Any] = json.loads(files.pop("manifest.json"))["files"]
    del files[".gitattributes"]
    return listed == {
        path: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for path, content in sorted(files.items())
    }


def killed(project: SmallProject, hub: HubServer, env: dict[str, str], call: str, *, done: bool) -> None:
    """Publish v2, and kill the process at a request: before it is handled, or when it was."""
    pids: list[int] = []

    def kill() -> None:
        os.kill(pids[0], signal.SIGKILL)

    def script(request: Received) -> Fault | None:
        if request.call != call:
            return None
        if done:
            return Fault(after=kill)
        kill()
        return Fault(cut="before")

    hub.script = script
    running = project.start("unique", "--rev", "v2", "--org", "org", hub=env)
    pids.append(running.pid)
    running.communicate(timeout=60)
    hub.script = lambda _: None
    assert running.returncode == -signal.SIGKILL


@pytest.fixture
def env(project: SmallProject, hub: HubServer, tmp_path: Path) -> dict[str, str]:
    """With v1 published and v2 made."""
    env = hub.environment(tmp_path / "home")
    assert project.publish("unique", "--rev", "v1", "--org", "org", hub=env).returncode == 0
    project.set_rows("unique", {"train": [*TRAIN, row("e")], "validation": [row("d", "other"), *VALIDATION[1:]]})
    project.make("two")
    return env


def test_before_the_commit_the_hub_shows_the_old_version(
    project: SmallProject, hub: HubServer, env: dict[str, str]
) -> None:
    head = hub.repository(NAME).head
    for call in BEFORE_COMMIT:
        killed(project, hub, env, call, done=False)

        assert hub.repository(NAME).head == head, call
        assert hub.repository(NAME).tags == {"v1": head}
        assert is_whole(hub, "main")

    assert project.publish("unique", "--rev", "v2", "--org", "org", hub=env).returncode == 0
    assert len(hub.repository(NAME).commits) == 3
    assert is_whole(hub, "v1")
    assert is_whole(hub, "v2")


def test_a_repository_that_was_made_and_no_more_holds_no_version(
    project: SmallProject, hub: HubServer, tmp_path: Path
) -> None:
    env = hub.environment(tmp_path / "home")
    killed(project, hub, env, "create", done=True)
    assert list(hub.repository(NAME).files()) == [".gitattributes"]

    assert project.publish("unique", "--rev", "v2", "--org", "org", hub=env).returncode == 0
    assert hub.repository(NAME).private
    assert is_whole(hub, "v2")


def test_after_the_commit_it_shows_the_new_one_and_another_run_ends_what_is_left(
    project: SmallProject, hub: HubServer, env: dict[str, str]
) -> None:
    """`resolve` comes before the commit too: the first run is killed at `commit`, so the others begin after it."""
    old = hub.repository(NAME).head
    for call in AFTER_COMMIT:
        killed(project, hub, env, call, done=True)

        assert hub.repository(NAME).commits[hub.repository(NAME).head].parent == old, call
        assert is_whole(hub, "main")
        assert is_whole(hub, "v1")
        before = len(hub.received)

    assert project.publish("unique", "--rev", "v2", "--org", "org", hub=env).returncode == 0
    assert hub.repository(NAME).tags == {"v1": old, "v2": hub.repository(NAME).head}
    assert [r.call for r in hub.received[before:] if r.method not in {"GET", "HEAD"}] == []


def test_the_tag_that_a_killed_run_did_not_make_is_all_that_another_one_adds(
    project: SmallProject, hub: HubServer, env: dict[str, str]
) -> None:
    killed(project, hub, env, "commit", done=True)
    assert list(hub.repository(NAME).tags) == ["v1"]
    before = len(hub.received)

    assert project.publish("unique", "--rev", "v2", "--org", "org", hub=env).returncode == 0

    assert [r.call for r in hub.received[before:] if r.method not in {"GET", "HEAD"}] == ["tag"]
    assert hub.repository(NAME).tags["v2"] == hub.repository(NAME).head
