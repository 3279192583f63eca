"""The default pipeline on other data: each stage's own command of `dvc.yaml`, in a copy of the project."""

import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.measured_process import Measured, run_measured
from tests.imports import ROOT
from tests.project_copy import ProjectCopy, environment

if TYPE_CHECKING:
    from dvc.repo import Repo


def copy_project(folder: Path, data: Path, tokenizer: Path) -> ProjectCopy:
    """A copy of the project whose inputs are the rollouts and modules of `data`, and another tokenizer folder."""
    project = ProjectCopy(folder)
    project.set_knob("ingest", "base", str(data.resolve() / "rollouts.jsonl"))
    project.set_knob("ingest_modules", "path", str(data.resolve() / "modules.jsonl"))
    project.set_knob("measure_lengths", "tokenizer", str(tokenizer.resolve()))
    return project


def commands(repo: "Repo") -> dict[str, str]:
    """The resolved command of each stage of the main pipeline, dependencies first."""
    stages = [stage for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"]
    before = {stage: [other for other in repo.index.graph.successors(stage) if other in stages] for stage in stages}
    return {stage.name: stage.cmd for stage in TopologicalSorter(before).static_order()}


def run_stages(folder: Path) -> Iterator[tuple[str, Measured]]:
    """Run all stages, one after the other, and measure each."""
    # DVC in a process of its own: it needs a second and 100 MB.
    asked = subprocess.run(
        [sys.executable, "-m", "tests.bench.pipeline", str(folder)], cwd=ROOT, check=True, capture_output=True
    )
    for name, command in json.loads(asked.stdout).items():
        yield name, run_measured(["/bin/sh", "-c", command], folder, environment())


def main() -> None:
    """Print the commands of a project as JSON."""
    from dvc.repo import Repo  # noqa: PLC0415  # only this process needs DVC

    with Repo(sys.argv[1]) as repo:
        print(json.dumps(commands(repo)))


if __name__ == "__main__":
    main()
