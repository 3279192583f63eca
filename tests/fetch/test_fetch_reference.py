"""The README's block for the reference's configuration, run on small repositories of the same names and layouts."""

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from stages.fetch.fetch import Repositories
from stages.shared import stage, table
from tests.fetch.hub_project import HubProject
from tests.hub_server import HubServer
from tests.imports import ROOT

SAMPLE = ROOT / "data" / "sample"
STATIC = {"rate_difficulty": {"rater": "static"}, "write_specs": {"writer": "template"}}


def reference_block() -> dict[str, dict[str, Any]]:
    """The one block of the README that fetches KernelBook."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    (block,) = (params for text in blocks if "kernelbook" in (params := yaml.safe_load(text)).get("fetch", {}))
    found: dict[str, dict[str, Any]] = block
    return found


BLOCK = reference_block()


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLE / name).read_text().splitlines()]


def parquet(values: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(values), sink)
    return bytes(sink.getvalue().to_pybytes())


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """The repositories with the sample's rows, in the published columns, among files that nobody asks for."""
    problems = [{"level": 1 + row["problem_id"] % 2, **row} for row in rows("benchmark/minibench.jsonl")]
    with HubServer(tmp_path_factory.mktemp("hub")) as hub:
        book = parquet([{**row, "original_triton_code": None} for row in rows("modules.jsonl")])
        files = {"README.md": b"---\nlicense: mit\n---\n", "LICENSE": b"MIT", "dataset_permissive.parquet": book}
        made = hub.add("datasets", "GPUMODE/KernelBook", files | {"dataset_permissive.json": b"["})
        book_repository = hub.repository("GPUMODE/KernelBook")
        pinned = BLOCK["fetch"]["kernelbook"]["revision"]
        book_repository.commits[pinned] = book_repository.commits.pop(made)
        book_repository.branches["main"] = pinned
        hub.add("datasets", "GPUMODE/KernelBook", {"LICENSE": b"Another", "README.md": b"---\nlicense: other\n---\n"})
        base = parquet(rows("rollouts/evals.jsonl"))
        hub.add("datasets", "siro1/kernelbook-glm4_7-evals", {"data/train-00000-of-00001.parquet": base})
        levels = {n: parquet([row for row in problems if row["level"] == n]) for n in (1, 2)}
        bench = {f"data/level_{n}-00000-of-00001.parquet": content for n, content in levels.items()}
        hub.add("datasets", "ScalingIntelligence/KernelBench", bench)
        tokenizer = {path.name: path.read_bytes() for path in (SAMPLE / "tokenizer").iterdir()}
        weights = {"model-00001-of-00016.safetensors": b"\0" * 8}
        hub.add("models", "Qwen/Qwen3-30B-A3B-Thinking-2507", tokenizer | weights)
        yield hub


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, hub: HubServer) -> HubProject:
    """After a run with the block, except that nobody is asked for ratings and specifications."""
    project = HubProject(tmp_path_factory.mktemp("reference") / "project", hub)
    project.set_params(BLOCK)
    project.set_params(STATIC)
    project.dvc("repro", "report", "build@unique")
    return project


def told(project: HubProject, stage_name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.folder / "data" / "metrics" / f"{stage_name}.json").read_text())
    return found


@pytest.mark.parametrize("section", BLOCK)
def test_the_block_is_valid_as_written(tmp_path: Path, section: str) -> None:
    """Every knob exists, and the section with the knobs that it leaves alone is one of its stage."""
    committed = yaml.safe_load((ROOT / "params.yaml").read_text())[section]
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({section: committed | BLOCK[section]}))
    model = Repositories if section == "fetch" else importlib.import_module(f"stages.{section}").Params

    stage.read_section(section, model, file)

    assert section == "fetch" or BLOCK[section].keys() <= committed.keys()


def test_only_what_the_block_asks_for_is_fetched(project: HubProject, hub: HubServer) -> None:
    """With card and licence, at the commits that are pinned or on record."""
    folder = project.folder / "data" / "hub"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found - {f"{name}/revision.json" for name in BLOCK["fetch"]} == {
        "base/.gitattributes",
        "base/data/train-00000-of-00001.parquet",
        "kernelbench/data/level_1-00000-of-00001.parquet",
        "kernelbench/data/level_2-00000-of-00001.parquet",
        "kernelbook/LICENSE",
        "kernelbook/README.md",
        "kernelbook/dataset_permissive.parquet",
        "tokenizer/chat_template.jinja",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
    }
    assert json.loads((folder / "kernelbook" / "revision.json").read_text())["license"] == "mit"
    moving = [("siro1/kernelbook-glm4_7-evals", "datasets"), ("ScalingIntelligence/KernelBench", "datasets")]
    moving.append(("Qwen/Qwen3-30B-A3B-Thinking-2507", "models"))
    assert project.resolved() == {
        f"{kind.removesuffix('s')}/{name}@main#0": hub.repository(name, kind).head for name, kind in moving
    }


def test_every_row_comes_through_with_its_repository_and_commit(project: HubProject, hub: HubServer) -> None:
    """Where the reference's repositories have 18,162 rows, the sample has these."""
    data = project.folder / "data"
    base = hub.repository("siro1/kernelbook-glm4_7-evals").head
    records = table.read(data / "records.parquet", ["source", "source_revision", "source_format"]).to_pylist()
    modules = table.read(data / "modules.parquet", ["source", "source_revision", "n_rows"]).to_pylist()

    assert records == [
        {
            "source": "siro1/kernelbook-glm4_7-evals/data/train-00000-of-00001.parquet",
            "source_revision": base,
            "source_format": "evals",
        }
    ] * len(rows("rollouts/evals.jsonl"))
    assert {(row["source"], row["source_revision"]) for row in modules} == {
        ("GPUMODE/KernelBook/dataset_permissive.parquet", BLOCK["fetch"]["kernelbook"]["revision"])
    }
    assert sum(row["n_rows"] for row in modules) == len(rows("modules.jsonl"))


def test_the_datasets_are_those_of_the_same_rows_from_files(project: HubProject, hub: HubServer) -> None:
    """Sizes by the reference's rules, benchmark and tokenizer in use; the cards name the commit."""
    best: dict[str, float] = {}
    for row in rows("rollouts/evals.jsonl"):
        if row["reward"] is not None and row["reward"] > BLOCK["filter_reward"]["cutoff"]:
            best[row["info"]["module_name"]] = max(row["reward"], best.get(row["info"]["module_name"], 0.0))
    data = project.folder / "data"

    assert told(project, "dedupe")["kept"] == len(best)
    assert told(project, "decontaminate")["problems"] == {
        "level_1-00000-of-00001": 4,
        "level_2-00000-of-00001": 4,
    }
    assert sum(told(project, "decontaminate")["contaminated"].values()) == 2
    assert told(project, "measure_lengths")["gate"].keys() <= {"ok", "no_reasoning"}
    rewards = table.read(data / "datasets" / "unique" / "data" / "train-00000-of-00001.parquet", ["reward", "info"])
    assert all(row["reward"] == best[row["info"]["module_name"]] for row in rewards.to_pylist())
    card = (data / "datasets" / "unique" / "README.md").read_text()
    assert "siro1/kernelbook-glm4_7-evals" in card
    assert hub.repository("siro1/kernelbook-glm4_7-evals").head in card
