"""A small project with a real git repository and real DVC stages, to publish its datasets."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.imports import ROOT
from tests.project_copy import environment

Rows = Mapping[str, Sequence[Mapping[str, Any]]]

_DVC = """\
stages:
  build:
    foreach: [unique, evals]
    do:
      cmd: python make.py ${item}
      deps: [make.py, "rows/${item}.json"]
      params: [made_with]
      outs: ["data/datasets/${item}"]
"""
_PARAMS = """\
made_with:
  cutoff: 0.85
publish:
  org: null
  model: tiny
"""
_MAKE = """\
import json, sys
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq

variant = sys.argv[1]
splits = json.loads(Path(f"rows/{variant}.json").read_text())
folder = Path("data/datasets", variant)
(folder / "data").mkdir(parents=True)
schema = pa.schema([
    ("row_id", pa.string()),
    ("reward", pa.float64()),
    ("completion", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
])
for split, files in splits.items():
    for number, rows in enumerate(files):
        name = f"{split}-{number:05d}-of-{len(files):05d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema), folder / "data" / name)
listed = "".join(f"\\n  - split: {split}\\n    path: data/{split}-*" for split in splits)
configs = f"configs:\\n- config_name: default\\n  data_files:{listed}\\n" if splits else ""
head = f"license: mit\\npretty_name: Tiny, {variant}\\nsize_categories:\\n- n<1K\\n{configs}"
(folder / "assets").mkdir()
(folder / "assets/picture.svg").write_text("<svg/>\\n")
(folder / "README.md").write_text(f"---\\n{head}---\\n\\n# Tiny\\n\\nMade for tests.\\n")
"""


def row(row_id: str, text: str = "text", reward: float | None = 1.0) -> dict[str, Any]:
    """A row as `rows/<variant>.json` has it."""
    return {"row_id": row_id, "reward": reward, "completion": [{"role": "assistant", "content": text}]}


TRAIN = [row(name) for name in ("a", "b", "c")]
VALIDATION = [row("d", reward=None)]


class SmallProject:
    """Its datasets are `unique`, with the splits train and validation, and `evals`, with one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "rows").mkdir(parents=True)
        (folder / "dvc.yaml").write_text(_DVC)
        (folder / "params.yaml").write_text(_PARAMS)
        (folder / "make.py").write_text(_MAKE)
        (folder / ".gitignore").write_text("/data/published/\n/.env\n")
        self.run("git", "init", "--quiet", "--initial-branch", "main")
        self.run("dvc", "init", "--quiet")
        self.set_rows("unique", {"train": TRAIN, "validation": VALIDATION})
        self.set_rows("evals", {"train": TRAIN})
        self.make("one")

    def clone(self, folder: Path) -> "SmallProject":
        """The same commit with the same outs."""
        shutil.copytree(self.folder, folder, symlinks=True)
        other = object.__new__(SmallProject)
        other.folder = folder
        return other

    def set_rows(self, variant: str, splits: Rows, rows_per_file: int = 1000) -> None:
        """Rows by split, for the next `make`."""
        files = {
            split: [rows[start : start + rows_per_file] for start in range(0, len(rows), rows_per_file)]
            for split, rows in splits.items()
        }
        (self.folder / "rows" / f"{variant}.json").write_text(json.dumps(files))

    def make(self, message: str) -> None:
        """Write the datasets and commit."""
        self.run("dvc", "repro", "--quiet")
        self.commit(message)

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def run(self, program: str, *words: str) -> str:
        """Run git or dvc, and fail when it fails."""
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        command = ["git", *identity, *words] if program == "git" else [sys.executable, "-m", program, *words]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, env=environment(), timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def publish(self, *words: str, hub: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; `hub` is the environment of a Hub, without it there is no network."""
        running = self.start(*words, hub=hub)
        output, errors = running.communicate(timeout=120)
        return subprocess.CompletedProcess(running.args, running.returncode, output, errors)

    def start(self, *words: str, hub: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        """Start the command."""
        # A process that is killed leaves its temporary folder.
        env = environment() | {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder.parent)} | dict(hub or {})
        return subprocess.Popen(
            [sys.executable, "-m", "stages", "publish", *words],
            cwd=self.folder,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
