"""The generator keeps its promises at every size, and the checks of the report find what they are for."""

import ast
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pytest

from stages import ingest
from stages.shared.code.syntax import entry_point, parse
from tests.bench import base_rows, pipeline, published_rows, reference_steps
from tests.imports import ROOT

ROWS = 200
TOKENIZER = ROOT / "data" / "sample" / "tokenizer"


def read(file: Path) -> list[dict[str, Any]]:
    return list(reference_steps.read_rows(file))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small base set, made by the command."""
    folder = tmp_path_factory.mktemp("base") / "data"
    command = [sys.executable, "-m", "tests.bench.base_rows", str(folder), "--rows", str(ROWS)]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"PYTHONHASHSEED": "1"})
    return folder


@pytest.fixture(scope="module")
def rollouts(data: Path) -> list[dict[str, Any]]:
    return read(data / "rollouts.jsonl")


def test_the_published_numbers_are_planned() -> None:
    planned = base_rows.plan(base_rows.ROWS, seed=0)
    kept = [row for row in planned if row.reward > base_rows.CUTOFF]
    rewards, tokens = [row.reward for row in kept], [row.tokens for row in kept]
    others = sorted(row.reward for row in planned if row.reward <= base_rows.CUTOFF)

    assert (len(planned), len(kept), len({row.name for row in kept})) == (18_162, 7_181, 2_967)
    assert (min(rewards), max(rewards)) == (0.851, 2.097)
    assert fmean(rewards) == pytest.approx(1.006, abs=0.001)
    assert pstdev(rewards) == pytest.approx(0.05, abs=0.001)
    assert fmean(tokens) == pytest.approx(9_643, abs=1)
    assert sum(n <= 16_384 for n in tokens) / len(tokens) == pytest.approx(0.935, abs=0.002)
    assert (others.count(0.0), others[-1]) == (10_322, 0.85)
    assert len({(row.name, row.variant) for row in planned}) / len(planned) == pytest.approx(0.64, abs=0.01)


def test_the_numbers_scale_with_the_rows(rollouts: list[dict[str, Any]]) -> None:
    kept = [row for row in rollouts if row["reward"] > base_rows.CUTOFF]
    characters = [len(str(row["prompt"][0]["content"])) + sum(map(len, row["completion"][0].values())) for row in kept]
    codes = defaultdict(set)
    for row in rollouts:
        codes[row["info"]["module_name"]].add(row["info"]["python_code"])

    assert (len(rollouts), len(kept), len({row["info"]["module_name"] for row in kept})) == (200, 79, 33)
    assert fmean(characters) / 4.2 == pytest.approx(base_rows.TOKENS, rel=0.03)
    assert sum(map(len, codes.values())) / ROWS == pytest.approx(0.64, abs=0.08)
    assert any(len(found) > 1 for found in codes.values())


def test_the_same_seed_writes_the_same_bytes(data: Path, tmp_path: Path) -> None:
    base_rows.write(tmp_path, ROWS, seed=0)

    for name in ("rollouts.jsonl", "modules.jsonl"):
        assert (tmp_path / name).read_bytes() == (data / name).read_bytes()


def test_rows_have_the_columns_of_the_sample(data: Path, rollouts: list[dict[str, Any]]) -> None:
    sample = ROOT / "data" / "sample"
    expected = json.loads((sample / "rollouts" / "evals.jsonl").read_text(encoding="utf-8").splitlines()[0])
    module = json.loads((sample / "modules.jsonl").read_text(encoding="utf-8").splitlines()[0])
    first = rollouts[0]

    assert set(first) == set(expected)
    assert [set(first["info"]), set(first["completion"][0])] == [set(expected["info"]), set(expected["completion"][0])]
    assert [set(row) for row in read(data / "modules.jsonl")] == [set(module)] * ROWS


def test_modules_and_answers_are_code_that_parses(rollouts: list[dict[str, Any]]) -> None:
    for row in rollouts:
        name, code = row["info"]["module_name"], row["info"]["python_code"]
        assert entry_point(code) == name
        assert {"get_inputs", "get_init_inputs"} <= defined(code)
        content = row["completion"][0]["content"]
        answer = content[content.index("<answer>\n") + 9 : content.index("\n</answer>")]
        assert {"pointwise_kernel", f"{name}New"} <= defined(answer)
        assert "@triton.jit" in answer


def defined(code: str) -> set[str]:
    """Top-level names of code that parses."""
    tree = parse(code)
    assert tree is not None
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_ingest_accepts_every_row(data: Path, tmp_path: Path) -> None:
    params = ingest.Params(base=str(data / "rollouts.jsonl"), limit=None, max_reject_fraction=0.0)
    found = ingest.run(
        params,
        base=data / "rollouts.jsonl",
        records=tmp_path / "records.parquet",
        rejects=tmp_path / "rejects.parquet",
    )

    assert {name: found[name] for name in ("rows_in", "kept", "answer_format", "reasoning", "copy")} == {
        "rows_in": ROWS,
        "kept": ROWS,
        "answer_format": {"answer_tag": ROWS},
        "reasoning": {"present": ROWS},
        "copy": {"first": ROWS},
    }


def test_the_pipeline_publishes_the_rows_of_the_rule(data: Path, tmp_path: Path) -> None:
    """And the check says so, unless a row, a tie or a count is another one."""
    base, plain = data / "rollouts.jsonl", tmp_path / "plain"
    plain.mkdir()
    project = pipeline.copy_project(tmp_path / "project", data, TOKENIZER)
    stages = dict(pipeline.run_stages(project.folder))
    found = project.folder / "data"
    reference_steps.filter_rows(base, plain)
    reference_steps.analyze(plain, TOKENIZER, limit=10)
    counts = json.loads((plain / "analyze.json").read_text(encoding="utf-8"))["tokens"]

    assert {"ingest", "measure_lengths", "build@filtered", "build@unique", "report"} <= set(stages)
    assert all(took.seconds > 0 and took.peak_mb > 1 for took in stages.values())
    assert len(counts) == 10
    assert published_rows.agree(base, found, counts)

    first = next(iter(counts))
    assert published_rows.different_counts(found, counts | {first: counts[first] + 1}) == [int(first)]
    assert not published_rows.agree(base, found, counts | {first: counts[first] + 1})
    for position in (0, -1):
        rows = read(base)
        best = published_rows.reference_ids(base).unique[position]
        rows[best]["reward"] = base_rows.CUTOFF
        reference_steps.write_rows(tmp_path / "other.jsonl", rows)
        assert not published_rows.agree(tmp_path / "other.jsonl", found, counts)


def test_the_first_row_of_a_tie_is_the_unique_one(tmp_path: Path) -> None:
    rewards = [("A", 0.85), ("A", 0.9), ("B", 1.0), ("A", 1.2), ("A", 1.2), ("B", 0.9)]
    rows = [{"example_id": i, "reward": r, "info": {"module_name": name}} for i, (name, r) in enumerate(rewards)]
    reference_steps.write_rows(tmp_path / "rows.jsonl", rows)

    assert published_rows.reference_ids(tmp_path / "rows.jsonl") == ([1, 2, 3, 4, 5], [2, 3])
