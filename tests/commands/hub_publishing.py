"""Publish the small project's datasets to a Hub on this machine, and look at what is there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.commands.small_project import SmallProject
from tests.hub_server import HubServer
from tests.project_copy import environment

NAME = "org/kernelbook-tiny-evals-unique"
UPLOADS = ("create", "preupload", "lfs_batch", "lfs_upload", "commit", "tag")


def published(project: SmallProject, hub: HubServer, *words: str) -> str:
    """Publish with success; returns what it said."""
    home = project.folder.parent / "home"
    done = project.publish(*words, "--org", "org", hub=hub.environment(home))
    assert done.returncode == 0, done.stderr
    return done.stderr


def refused(project: SmallProject, hub: HubServer, *words: str, token: str | None = "hf_write") -> str:
    """Publish without success; returns the one line on why."""
    done = project.publish(*words, hub=hub.environment(project.folder.parent / "home", token))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def manifest(hub: HubServer, name: str, revision: str = "main") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(hub.repositories.read(hub.repository(name), "manifest.json", revision))
    return found


def loaded(hub: HubServer, home: Path, name: str, revision: str) -> dict[str, list[dict[str, Any]]]:
    """Rows by split, as `load_dataset` reads them in another process."""
    script = (
        "import sys, json, datasets\n"
        "found = datasets.load_dataset(sys.argv[1], revision=sys.argv[2])\n"
        "print(json.dumps({name: list(split) for name, split in found.items()}))"
    )
    env = environment() | hub.environment(home)
    done = subprocess.run(
        [sys.executable, "-c", script, name, revision], capture_output=True, text=True, check=True, env=env
    )
    rows: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return rows
