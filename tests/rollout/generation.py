"""A folder in which `generate` runs as a real process."""

import sys
from pathlib import Path
from typing import Any

import msgspec

from tests.imports import ROOT
from tests.model_stage import CODE, ModelStage
from tests.stages import tables

NAME = "tiny"
ENTRY: dict[str, Any] = {
    "prompts": "modules.parquet",
    "provider": "vllm",
    "model": "maker/tiny-1",
    "temperature": None,
    "top_p": None,
    "max_tokens": 64,
    "reasoning_effort": None,
    "rollouts_per_example": 2,
    "seed": None,
    "sample": 0,
    "limit": None,
    "max_failed_fraction": 0.0,
    "serve": "external",
    "flags": [],
    "mode": "interpret",
    "formula": "coverage",
    "timeout_s": 10.0,
}
"""Of the params section `rollouts`."""
FACTS = {"repo_name": "a/b", "licenses": ["MIT"], "stars": 3, "sha": "abc", "repo_link": "https://example.org/a/b"}


class Generation(ModelStage):
    """Modules `Net0`, `Net1`, ...; the entry of params is `self.entry`."""

    def __init__(self, folder: Path, *, modules: int = 4) -> None:
        super().__init__(folder, modules=modules)
        self.entry = dict(ENTRY)
        self.params["rollouts"] = {NAME: self.entry}
        rows = [
            {
                "module_id": f"m{i}",
                "module_name": f"Net{i}",
                "entry_point": f"Net{i}",
                "python_code": CODE.replace("{i}", str(i)),
                "uuids": [i, 100 + i],
                **FACTS,
            }
            for i in range(modules)
        ]
        self.write_modules(rows)

    def write_modules(self, rows: list[dict[str, Any]]) -> None:
        tables.write(self.folder, modules=rows)

    def words(self, stage: str) -> list[str]:  # noqa: ARG002
        paths = {
            "modules": "modules.parquet",
            "prompts": str(self.entry["prompts"]),
            "template": str(ROOT / "stages" / "prompts" / "generate.md"),
            "answer-format": str(ROOT / "stages" / "prompts" / "answer_format.md"),
            "prices": str(ROOT / "stages" / "prices.json"),
            "completions": "completions.jsonl",
            "responses": "responses.jsonl",
            "metrics": "metrics.json",
        }
        flags = (word for name, path in {"name": NAME, **paths}.items() for word in (f"--{name}", path))
        return [sys.executable, "-m", "stages.rollout.generate", *flags]

    def completions(self) -> list[dict[str, Any]]:
        """The lines that were written."""
        lines = (self.folder / "completions.jsonl").read_bytes().splitlines()
        return [msgspec.json.decode(line) for line in lines]
