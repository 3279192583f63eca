"""What a user can get wrong ends in one line that says where, exit code 1, and nothing half-written."""

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from stages.shared import table
from stages.shared.records import MODULES, RECORDS
from tests.imports import ROOT

SAMPLE = ROOT / "data" / "sample"
ROW = json.loads((SAMPLE / "rollouts" / "evals.jsonl").read_text().splitlines()[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to run a stage in, with the committed params and the smallest tables."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(SAMPLE / "tokenizer", tmp_path / "tokenizer")
    for name, schema in (("records", RECORDS), ("modules", MODULES)):
        with table.writing(tmp_path / f"{name}.parquet", schema):
            pass
    return tmp_path


def run(folder: Path, stage: str, **paths: str) -> str:
    """Run a stage that must fail; returns its last line, after checking what every failure has in common."""
    before = {path for path in folder.rglob("*") if path.is_file()}
    words = [word for flag, value in paths.items() for word in (f"--{flag}", value)]
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", *words, "--metrics", "metrics.json"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert {path for path in folder.rglob("*") if path.is_file()} == before
    return done.stderr.splitlines()[-1]


def ingest(folder: Path, base: str = "rollouts.jsonl") -> str:
    return run(folder, "ingest", base=base, records="out/records.parquet", rejects="out/rejects.parquet")


def changed(**fields: object) -> bytes:
    return json.dumps(ROW | fields).encode()


BROKEN: dict[str, tuple[bytes, str]] = {
    "cut-off line": (changed() + b'\n{"prompt": [', "rollouts.jsonl:2: not valid JSON"),
    "not an object": (b"[1, 2]", "rollouts.jsonl:1: expected a JSON object"),
    "not UTF-8": (b'{"prompt": "\xff"}', "rollouts.jsonl:1: not valid JSON"),
    "unknown format": (b'{"question": "?"}', "rollouts.jsonl:1: "),
    "wrong reward": (changed(reward="high"), "rollouts.jsonl:1: reward: expected a number or null, got 'high'"),
    "wrong info": (changed(info=3), "rollouts.jsonl:1: info: expected an object, got 3"),
    "no module code": (
        changed(info={"module_name": "A"}),
        "rollouts.jsonl:1: info.python_code: expected a text, got None",
    ),
    "empty completion": (changed(completion=[]), "rollouts.jsonl:1: completion: expected a text or a list of messages"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_row_is_named_by_file_line_and_field(folder: Path, case: str) -> None:
    content, message = BROKEN[case]
    (folder / "rollouts.jsonl").write_bytes(content)

    last = ingest(folder)

    assert "rows rejected, ingest.max_reject_fraction is 0.0" in last
    assert message in last


def test_a_damaged_archive_is_named(folder: Path) -> None:
    (folder / "rollouts.jsonl.gz").write_bytes(gzip.compress(changed() * 50)[:-20])

    assert "rollouts.jsonl.gz: line" in ingest(folder, "rollouts.jsonl.gz")


def test_a_file_that_is_no_parquet_is_named(folder: Path) -> None:
    (folder / "rollouts.parquet").write_bytes(b"PAR1 and then nothing")

    assert "rollouts.parquet" in ingest(folder, "rollouts.parquet")


def test_a_missing_input_says_what_an_experiment_needs(folder: Path) -> None:
    assert "nowhere.jsonl: no such file or folder (in an experiment" in ingest(folder, "nowhere.jsonl")


def test_an_empty_folder_is_no_input(folder: Path) -> None:
    (folder / "empty").mkdir()

    assert ingest(folder, "empty") == "ingest: empty: the folder holds no rollouts (JSONL or Parquet)"


KNOBS: dict[str, tuple[Callable[[dict[str, dict[str, object]]], object], str]] = {
    "wrong type": (
        lambda p: p["ingest"].update(limit="ten"),
        "params.yaml: ingest.limit: Input should be a valid integer",
    ),
    "out of bounds": (lambda p: p["ingest"].update(limit=0), "params.yaml: ingest.limit: Input should be greater than"),
    "unknown knob": (
        lambda p: p["ingest"].update(limits=5),
        "params.yaml: ingest.limits: Extra inputs are not permitted",
    ),
    "missing knob": (lambda p: p["ingest"].pop("limit"), "params.yaml: ingest.limit: Field required"),
    "missing section": (lambda p: p.pop("ingest"), "params.yaml: the section 'ingest' is missing"),
}


@pytest.mark.parametrize("case", KNOBS)
def test_a_wrong_knob_is_named(folder: Path, case: str) -> None:
    change, message = KNOBS[case]
    params = yaml.safe_load((folder / "params.yaml").read_text())
    change(params)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    (folder / "rollouts.jsonl").write_bytes(changed())

    assert message in ingest(folder)


def test_params_that_are_no_yaml_are_named(folder: Path) -> None:
    (folder / "params.yaml").write_text("ingest: [")
    (folder / "rollouts.jsonl").write_bytes(changed())

    assert "params.yaml: not valid YAML" in ingest(folder)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda tokenizer: (tokenizer / "tokenizer.json").unlink(), "tokenizer/tokenizer.json: no such file"),
        (
            lambda tokenizer: (tokenizer / "tokenizer.json").write_text("{"),
            "tokenizer/tokenizer.json: not a readable tokenizer",
        ),
        (lambda tokenizer: (tokenizer / "chat_template.jinja").unlink(), "tokenizer: expected a chat template"),
        (
            lambda tokenizer: (tokenizer / "chat_template.jinja").write_text("{% if %}"),
            "tokenizer: the chat template is not valid",
        ),
    ],
)
def test_a_broken_tokenizer_is_named(folder: Path, broken: Callable[[Path], object], message: str) -> None:
    broken(folder / "tokenizer")

    assert message in run(
        folder, "measure_lengths", records="records.parquet", tokenizer="tokenizer", lengths="out.parquet"
    )


def test_a_benchmark_problem_without_code_is_named(folder: Path) -> None:
    (folder / "bench.jsonl").write_text('{"name": "a", "code": "x = 1"}\n{"name": "b"}\n')
    paths = {"modules": "modules.parquet", "records": "records.parquet", "contamination": "out.parquet"}

    assert "bench.jsonl:2: expected the problem's code in one of" in run(
        folder, "decontaminate", benchmarks="bench.jsonl", **paths
    )


def test_a_table_of_another_stage_is_named_by_the_missing_column(folder: Path) -> None:
    last = run(folder, "filter_reward", records="modules.parquet", verdicts="modules.parquet", kept="out.parquet")

    assert last == "filter_reward: modules.parquet: the column 'row_id' is missing"
