"""Small tables for the tests of stages: rows in, Parquet files out, and back."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import BaseModel

from stages.cluster_modules import CLUSTERS
from stages.decontaminate import CONTAMINATION
from stages.dedupe import UNIQUE
from stages.filter_reward import KEPT
from stages.measure_lengths import LENGTHS
from stages.rate_difficulty import DIFFICULTY
from stages.shared import table
from stages.shared.datasets.variants import Variants
from stages.shared.records import MODULES, RECORDS
from stages.shared.stage import read_section
from stages.split import SPLITS
from stages.verify import VERDICTS
from stages.write_specs import SPECS
from tests.imports import ROOT

Row = dict[str, Any]
SCHEMAS = {
    "records": RECORDS,
    "modules": MODULES,
    "verdicts": VERDICTS,
    "kept": KEPT,
    "difficulty": DIFFICULTY,
    "unique": UNIQUE,
    "clusters": CLUSTERS,
    "contamination": CONTAMINATION,
    "lengths": LENGTHS,
    "splits": SPLITS,
    "specs": SPECS,
}
CODE = "from torch import nn\n\n\nclass Add(nn.Module):\n    def forward(self, a, b):\n        return a + b\n"
VARIANTS = Variants.model_validate(
    {
        "all": {"rows": "kept", "reasoning": True},
        "best": {"rows": "unique", "reasoning": True},
        "best-short": {"rows": "unique", "reasoning": False},
    }
)


def write(folder: Path, **tables: list[Row]) -> dict[str, Path]:
    """Write each table to `<name>.parquet`; a column that a row lacks is null. Returns the files by name."""
    files = {}
    for name, rows in tables.items():
        files[name] = folder / f"{name}.parquet"
        schema = pa.schema([(column, pa.string()) for column in rows[0]]) if name == "selection" else SCHEMAS[name]
        with table.writing(files[name], schema) as writer:
            for row in rows:
                assert row.keys() <= set(schema.names)
                writer.write(row)
    return files


def rows(path: Path) -> list[Row]:
    """All rows of a Parquet file with all their columns."""
    found: list[Row] = pq.read_table(path).to_pylist()
    return found


def record(row_id: str, **columns: Any) -> Row:
    """A complete record of the module `Add`."""
    return {
        "row_id": row_id,
        "module_id": "m1",
        "module_name": "Add",
        "entry_point": "Add",
        "python_code": CODE,
        "licenses": ["MIT"],
        "prompt": [{"role": "user", "content": "Write Add."}],
        "content": "<answer>\nclass AddNew: ...\n</answer>",
        "reasoning": "Elementwise.",
        "answer": "class AddNew: ...",
        "answer_format": "answer_tag",
        "reward": 1.0,
        "source": "rollouts.jsonl",
        **columns,
    }


def knob_message(folder: Path, section: str, model: type[BaseModel], knobs: Row) -> str:
    """What a user reads when a section of the params file has these knobs."""
    file = folder / "params.yaml"
    file.write_text(yaml.safe_dump({section: knobs}))
    with pytest.raises(ValueError, match=r"params\.yaml: ") as raised:
        read_section(section, model, file)
    return str(raised.value).removeprefix(f"{file}: ")


MODEL: dict[str, Any] = {
    "provider": "custom",
    "model": "none",
    "temperature": None,
    "max_tokens": None,
    "reasoning_effort": None,
    "sample": 0,
    "max_failed_fraction": 0.0,
}
"""Knobs of stages that can ask a model, where none is asked."""


def model_files(folder: Path, stage: str) -> dict[str, Path]:
    """The files that such a stage has beside its tables."""
    prompt = ROOT / "stages" / "prompts" / f"{stage}.md"
    return {"prompt": prompt, "prices": ROOT / "stages" / "prices.json", "responses": folder / "responses.jsonl"}
