"""The stage `verify` in a folder of its own, over answers that run: as a user runs it, and as DVC does."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from stages.shared.responses.response_store import ResponseStore, StoredReply
from tests.imports import ROOT
from tests.stages import tables

MODULE = """\
import torch
from torch import nn


class Scale(nn.Module):
    def forward(self, x):
        return x * 3.0


def get_inputs():
    return [torch.rand([4, 4, 4, 4])]


def get_init_inputs():
    return [[], {}]
"""
RIGHT = """\
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def scale(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(out_ptr + offsets, tl.load(x_ptr + offsets, mask=mask) * 3.0, mask=mask)


class ScaleNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        scale[(triton.cdiv(x.numel(), 128),)](x, out, x.numel(), BLOCK=128)
        return out
"""
WRONG = RIGHT.replace("* 3.0, mask", "* 3.1, mask")
ENDLESS = RIGHT + "\n\nwhile True:\n    pass\n"


def right(number: int) -> str:
    """One of many right answers."""
    return f"{RIGHT}# {number}\n"


def record(row_id: str, answer: str | None, **columns: Any) -> tables.Row:
    """A rollout of the module `Scale`."""
    given = {"module_name": "Scale", "entry_point": "Scale", "python_code": MODULE, **columns}
    return tables.record(row_id, answer=answer, **given)


class VerifyStage:
    """Over records in `records.parquet`; verdicts are written to `verdicts.parquet`."""

    def __init__(self, folder: Path, records: Sequence[tables.Row], **knobs: object) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        tables.write(folder, records=list(records))
        self.knobs = {"mode": "interpret", "min_reward": 0.0, "timeout_s": 20.0, **knobs}

    def start(self, *python: str, **environment: str) -> subprocess.Popen[str]:
        """Start the stage in a process group of its own, and leave it running."""
        return subprocess.Popen(
            self.words(*python),
            cwd=self.folder,
            env=self.environment(**environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def words(self, *python: str) -> list[str]:
        """The command of the stage, with the knobs as they are now; `python` are options of the interpreter."""
        (self.folder / "params.yaml").write_text(yaml.safe_dump({"verify": self.knobs}))
        paths = {"records": "records.parquet", "verdicts": "verdicts.parquet", "responses": "responses.jsonl"}
        flags = [word for name, path in (paths | {"metrics": "metrics.json"}).items() for word in (f"--{name}", path)]
        return [sys.executable, *python, "-m", "stages.verify", *flags]

    @staticmethod
    def environment(**more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return kept | {"PYTHONPATH": str(ROOT)} | more

    def run(self, *python: str, **environment: str) -> tuple[int, str]:
        """Run the stage to its end; returns its exit code and what it told."""
        process = self.start(*python, **environment)
        told = process.communicate(timeout=120)[1]
        assert "Traceback" not in told, told
        return process.returncode, told

    def succeed(self) -> str:
        """Run the stage, which must succeed; returns what it told."""
        code, told = self.run()
        assert code == 0, told
        return told

    def fail(self, *python: str, **environment: str) -> str:
        """Run the stage, which must fail and leave no out; returns its last line."""
        code, told = self.run(*python, **environment)
        assert code == 1, told
        assert {path.name for path in self.folder.glob("[!.]*")} == {"params.yaml", "records.parquet"}
        return told.splitlines()[-1]

    def stored(self) -> int:
        """Judgements in the store."""
        return len(ResponseStore(self.folder / ".responses"))

    def replies(self) -> list[StoredReply]:
        """The judgements of the responses file."""
        lines = (self.folder / "responses.jsonl").read_bytes().splitlines()
        return [msgspec.json.decode(line, type=StoredReply) for line in lines]

    def rows(self) -> list[tables.Row]:
        return tables.rows(self.folder / "verdicts.parquet")

    def outs(self) -> dict[str, bytes]:
        """What the stage has written, byte for byte."""
        return {
            name: (self.folder / name).read_bytes() for name in ("verdicts.parquet", "responses.jsonl", "metrics.json")
        }
