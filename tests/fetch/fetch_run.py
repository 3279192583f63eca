"""The stage as a process of its own, against a Hub on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.hub_server import HubServer
from tests.imports import ROOT

CARD = b"---\nlicense: mit\n---\n# Rows\n"
FILES = {
    "LICENSE": b"MIT License",
    "README.md": CARD,
    "data/train-00000-of-00002.parquet": b"PAR1" * 1000,
    "data/train-00001-of-00002.parquet": b"PAR2" * 1000,
    "notes/more.json": b"{}",
}
DATA = "data/*"


class FetchRun:
    """A folder in which the stage runs, and a Hub with the dataset `org/base`."""

    def __init__(self, folder: Path, hub: HubServer) -> None:
        self.folder, self.hub = folder, hub
        self.home = folder / "home"
        self.out = folder / "data" / "hub" / "base"
        self.first = hub.add("datasets", "org/base", FILES)
        (folder / "stages" / "fetch").mkdir(parents=True)

    def start(self, wanted: dict[str, Any], **env: str) -> subprocess.Popen[str]:
        """Start the stage for one entry; a variable that is empty is not set."""
        (self.folder / "params.yaml").write_text(yaml.safe_dump({"fetch": {"base": wanted}}))
        words = ["--name", "base", "--folder", str(self.out)]
        told = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **self.hub.environment(self.home), **env}
        return subprocess.Popen(
            [sys.executable, "-m", "stages.fetch.fetch", *words],
            cwd=self.folder,
            env={name: value for name, value in told.items() if value},
            stderr=subprocess.PIPE,
            text=True,
        )

    def fetched(self, wanted: dict[str, Any], **env: str) -> dict[str, bytes]:
        """Run the stage, which must succeed; returns the content of the folder."""
        process = self.start(wanted, **env)
        told = process.communicate(timeout=60)[1]
        assert process.returncode == 0, told
        return {path.relative_to(self.out).as_posix(): path.read_bytes() for path in files(self.out)}

    def refused(self, wanted: dict[str, Any], **env: str) -> str:
        """Run the stage, which must fail and leave everything as it was; returns its last line."""
        before = self._written()
        process = self.start(wanted, **env)
        told = process.communicate(timeout=60)[1]
        assert (process.returncode, "Traceback" in told) == (1, False), told
        assert self._written() == before
        return told.splitlines()[-1]

    def _written(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for name in ("data", "stages") for path in files(self.folder / name)}

    def in_python(self, code: str) -> None:
        """Run a program that fills the cache of `huggingface_hub`."""
        told = {"PATH": os.environ["PATH"], **self.hub.environment(self.home)}
        subprocess.run([sys.executable, "-c", code], env=told, check=True, capture_output=True)

    def commit(self, wanted: dict[str, Any], **env: str) -> str:
        """The commit that is fetched."""
        found: str = json.loads(self.fetched(wanted, **env)["revision.json"])["commit"]
        return found

    def gets(self) -> list[str]:
        """Names of the files that were downloaded, in order."""
        return [request.path.split("/")[-1] for request in self.hub.calls("resolve") if request.method == "GET"]

    def rename(self, commit: str, name: str) -> None:
        """Give the last commit of the Hub another id."""
        found = self.hub.repository("org/base")
        found.commits[name] = found.commits.pop(commit)
        found.branches["main"] = name


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
