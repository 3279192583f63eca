"""A folder in which a stage that asks a model runs as a real process."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

from stages.shared.responses.response_store import ResponseStore, StoredReply
from tests.imports import ROOT
from tests.stages import tables

KEY = "sk-secret-0123456789"
CODE = "from torch import nn\n\n\nclass Net{i}(nn.Module):\n    def forward(self, x):\n        return x.sum({i})\n"


class ModelStage:
    """Modules `Net0`, `Net1`, ... with rollouts `r0`, `r1`, ...; each is shown to the model by its code."""

    def __init__(self, folder: Path, *, modules: int = 4, rows_per_module: int = 1) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.params: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "params.yaml").read_text())
        asked = {"provider": "custom", "model": "scripted", "max_failed_fraction": 0.0}
        self.params["rate_difficulty"] |= {"rater": "llm", **asked}
        self.params["write_specs"] |= {"writer": "llm", **asked}
        names = [f"Net{i}" for i in range(modules)]
        code = [CODE.replace("{i}", str(i)) for i in range(modules)]
        records = [
            tables.record(
                f"r{i * rows_per_module + copy}",
                module_id=names[i],
                entry_point=names[i],
                python_code=code[i],
                answer=f"answer {copy}",
            )
            for i in range(modules)
            for copy in range(rows_per_module)
        ]
        tables.write(
            folder,
            records=records,
            kept=[{"row_id": row["row_id"], "kept": True} for row in records],
            modules=[
                {"module_id": name, "entry_point": name, "python_code": text}
                for name, text in zip(names, code, strict=True)
            ],
        )

    def words(self, stage: str) -> list[str]:
        """The command of a stage."""
        given = {"rate_difficulty": ["records", "kept"], "write_specs": ["modules"]}[stage]
        out = {"rate_difficulty": "difficulty", "write_specs": "specs"}[stage]
        paths = {name: f"{name}.parquet" for name in (*given, out)} | {
            "prompt": str(ROOT / "stages" / "prompts" / f"{stage}.md"),
            "prices": str(ROOT / "stages" / "prices.json"),
            "responses": "responses.jsonl",
            "metrics": "metrics.json",
        }
        return [sys.executable, "-m", f"stages.{stage}", *(w for k, v in paths.items() for w in (f"--{k}", v))]

    def environment(self, url: str, **settings: str) -> dict[str, str]:
        """Of a user with one key, and of nothing else that the client could read."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return kept | {"PYTHONPATH": str(ROOT), "LLM_BASE_URL": url, "LLM_API_KEY": KEY} | settings

    def write_params(self) -> None:
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self.params))

    def start(self, url: str, stage: str = "rate_difficulty", **settings: str) -> subprocess.Popen[str]:
        """Start a stage, and leave it running."""
        self.write_params()
        return subprocess.Popen(
            self.words(stage),
            cwd=self.folder,
            env=self.environment(url, **settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, url: str, stage: str = "rate_difficulty", **settings: str) -> tuple[int, str]:
        """Run a stage to its end; returns its exit code and what it told."""
        process = self.start(url, stage, **settings)
        told = process.communicate(timeout=60)[1]
        assert "Traceback" not in told, told
        return process.returncode, told

    def succeed(self, url: str, stage: str = "rate_difficulty", **settings: str) -> None:
        """Run a stage that must succeed."""
        code, told = self.run(url, stage, **settings)
        assert code == 0, told

    def fail(self, url: str, stage: str = "rate_difficulty", **settings: str) -> str:
        """Run a stage that must fail and leave no out; returns its last line."""
        code, told = self.run(url, stage, **settings)
        assert code == 1, told
        assert not (self.folder / "metrics.json").exists()
        assert not (self.folder / "responses.jsonl").exists()
        return told.splitlines()[-1]

    def stored(self) -> int:
        """Replies in the store."""
        return len(ResponseStore(self.folder / ".responses"))

    def levels(self) -> dict[str, str | None]:
        """Difficulty by row."""
        return {row["row_id"]: row["difficulty"] for row in tables.rows(self.folder / "difficulty.parquet")}

    def replies(self) -> list[StoredReply]:
        """The replies of the responses file."""
        lines = (self.folder / "responses.jsonl").read_bytes().splitlines()
        return [msgspec.json.decode(line, type=StoredReply) for line in lines]

    def metrics(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode((self.folder / "metrics.json").read_bytes())
        return found
