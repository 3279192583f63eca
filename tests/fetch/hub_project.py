"""A copy of the project in which real `dvc` commands talk to a Hub on this machine."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.hub_server import HubServer
from tests.project_copy import ProjectCopy


def entry(repo: str, *files: str, kind: str = "dataset", revision: str = "main", refresh: int = 0) -> dict[str, Any]:
    """An entry of the params section `fetch`."""
    return {"repo": repo, "kind": kind, "revision": revision, "files": list(files), "refresh": refresh}


class HubProject(ProjectCopy):
    """`home` is where `huggingface_hub` keeps its cache."""

    def __init__(self, folder: Path, hub: HubServer) -> None:
        super().__init__(folder)
        self.hub = hub
        self.home = folder.parent / "home"

    def copy(self, folder: Path) -> "HubProject":
        """The same with its outs and caches, to change it."""
        return self._at(self.clone(folder).folder, self.home)

    def cloned(self, folder: Path) -> "HubProject":
        """What `git clone` gives, with no cache of the Hub's client."""
        self.git("clone", "--quiet", str(self.folder), str(folder))
        return self._at(folder, folder.parent / f"{folder.name}-home")

    def _at(self, folder: Path, home: Path) -> "HubProject":
        other = object.__new__(HubProject)
        other.folder, other.hub, other.home = folder, self.hub, home
        return other

    def environment(self) -> dict[str, str]:
        """With the Hub as the only one that stages know."""
        return super().environment() | self.hub.environment(self.home)

    def set_params(self, sections: Mapping[str, Mapping[str, Any]]) -> None:
        """Change knobs of the params file, and set its section `fetch` as a whole."""
        file = self.folder / "params.yaml"
        params = yaml.safe_load(file.read_text())
        for section, knobs in sections.items():
            params[section] = dict(knobs) if section == "fetch" else params[section] | knobs
        file.write_text(yaml.safe_dump(params, sort_keys=False))

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def resolved(self) -> dict[str, str]:
        """What `revisions.json` says."""
        found: dict[str, str] = json.loads((self.folder / "stages" / "fetch" / "revisions.json").read_text())
        return found
