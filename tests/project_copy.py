"""A copy of the project in a git repository of its own, to run real `dvc` commands in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self

import yaml

from tests.imports import ROOT


class ProjectCopy:
    """What a fresh clone of the project has, tests left out: they are no input of a stage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
        )
        for name in listed.stdout.splitlines():
            if not name.startswith("tests/") and (ROOT / name).is_file():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "copy")

    def clone(self, folder: Path) -> Self:
        """A second copy with the same outs and cache."""
        shutil.copytree(self.folder, folder, symlinks=True)
        other = object.__new__(type(self))
        other.folder = folder
        return other

    def git(self, *words: str) -> str:
        """Run git, and fail when it fails."""
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        return subprocess.run(
            ["git", *identity, *words], cwd=self.folder, check=True, capture_output=True, text=True
        ).stdout

    def environment(self) -> dict[str, str]:
        """Of the commands that run here."""
        return environment()

    def dvc(self, *words: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """Run dvc, which runs the stages with the Python of the tests; `env` is added to the environment."""
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env=self.environment() | env,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def set_knob(self, section: str, knob: str, value: object) -> None:
        """Change one knob of the params file."""
        file = self.folder / "params.yaml"
        params = yaml.safe_load(file.read_text())
        assert knob in params[section]
        params[section][knob] = value
        file.write_text(yaml.safe_dump(params, sort_keys=False))


def environment() -> dict[str, str]:
    """The environment of a user without keys or network, whose `python` is the tests' one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "HF_", "AWS_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "HF_HUB_OFFLINE": "1", "DVC_NO_ANALYTICS": "1", "GIT_CONFIG_NOSYSTEM": "1"}
