import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import Field

from stages.filter_reward import KEPT, Params
from stages.shared import stage, table
from stages.shared.records import RECORDS, TEXTS
from stages.shared.stage import Knobs, read_section, write_metrics

ROOT = Path(__file__).parents[2]
PARAMS = "filter_reward: {cutoff: 0.85, drop_flags: [], require_verdict: none}\n"
VERDICTS = pa.schema([("row_id", pa.string()), ("verdict", pa.string()), ("flags", TEXTS)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the stage filter_reward needs: two rows, of which one is above the cutoff."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    records: dict[str, list[Any]] = {name: [None, None] for name in RECORDS.names}
    records |= {"row_id": ["r1", "r2"], "reward": [1.0, 0.2], "answer_format": ["fence", "fence"]}
    table.write(tmp_path / "records.parquet", RECORDS, records)
    verdicts = {"row_id": ["r1", "r2"], "verdict": ["unknown"] * 2, "flags": [[], []]}
    table.write(tmp_path / "verdicts.parquet", VERDICTS, verdicts)
    return tmp_path


def run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    flags = ["--records", "records.parquet", "--verdicts", "verdicts.parquet", "--kept", "out/kept.parquet"]
    command = [sys.executable, "-m", "stages.filter_reward", *flags, "--metrics", "out/metrics.json", *more]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_stage_writes_its_outputs_and_its_metrics(folder: Path) -> None:
    done = run(folder)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert table.read(folder / "out" / "kept.parquet", KEPT.names).to_pylist() == [
        {"row_id": "r1", "reward": 1.0, "kept": True, "drop_reason": None},
        {"row_id": "r2", "reward": 0.2, "kept": False, "drop_reason": "low_reward"},
    ]
    metrics = {
        "rows_in": 2,
        "kept": 1,
        "dropped_low_reward": 1,
        "flag_above_cutoff": {},
        "reward_mean": 1.0,
        "reward_min": 1.0,
        "reward_max": 1.0,
    }
    text = json.dumps(metrics, indent=2, sort_keys=True) + "\n"
    assert (folder / "out" / "metrics.json").read_text() == text


WRONG_PARAMS = {
    "a wrong type": (PARAMS.replace("0.85", "high"), "filter_reward.cutoff: Input should be a valid number"),
    "a number as text": (PARAMS.replace("0.85", "'0.85'"), "filter_reward.cutoff: Input should be a valid number"),
    "a wrong choice": (PARAMS.replace("none", "maybe"), "filter_reward.require_verdict: Input should be 'none', 'not_"),
    "a wrong item": (
        PARAMS.replace("[]", "[no_launch, slow]"),
        "filter_reward.drop_flags.1: Input should be 'unparsed'",
    ),
    "an unknown knob": (
        PARAMS.replace("{", "{seed: 1, "),
        "filter_reward.seed: Extra inputs are not permitted (got 1)",
    ),
    "a missing knob": (PARAMS.replace("cutoff: 0.85, ", ""), "filter_reward.cutoff: Field required"),
    "a missing section": ("verify: {}\n", "the section 'filter_reward' is missing"),
    "an empty section": ("filter_reward:\n", "filter_reward: Input should be a valid dictionary"),
    "an empty file": ("", "the section 'filter_reward' is missing"),
    "a list": ("- filter_reward\n", "the section 'filter_reward' is missing"),
    "no YAML": ("filter_reward: {cutoff: [\n", "not valid YAML: while parsing"),
    "a tab": ("filter_reward:\n\tcutoff: 1\n", "not valid YAML: while scanning"),
    "no text": ("filter_reward: \x07\n", "not valid YAML: "),
}


def assert_refused(folder: Path, done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"filter_reward: {message}"), done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "out").exists() or list((folder / "out").iterdir()) == []


@pytest.mark.parametrize(("params", "message"), WRONG_PARAMS.values(), ids=WRONG_PARAMS.keys())
def test_wrong_params_end_in_one_line_that_names_the_knob(folder: Path, params: str, message: str) -> None:
    (folder / "params.yaml").write_text(params)

    with pytest.raises(ValueError, match=r"^\S*params.yaml: ") as caught:
        read_section("filter_reward", Params, folder / "params.yaml")
    assert str(caught.value).startswith(f"{folder / 'params.yaml'}: {message}")


@pytest.mark.parametrize("name", ["a wrong type", "an unknown knob", "a missing section", "no YAML"])
def test_wrong_params_end_the_process_and_write_nothing(folder: Path, name: str) -> None:
    params, message = WRONG_PARAMS[name]
    (folder / "params.yaml").write_text(params)

    assert_refused(folder, run(folder), f"params.yaml: {message}")


def test_no_params_file_ends_in_one_line(folder: Path) -> None:
    (folder / "params.yaml").unlink()

    assert_refused(folder, run(folder), "[Errno 2] No such file or directory: 'params.yaml'")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "[Errno 2] Failed to open local file 'records.parquet'"),
        (b"row_id,reward\n", "records.parquet: not a Parquet file: "),
        (b"", "records.parquet: not a Parquet file: "),
    ],
)
def test_an_input_that_is_no_table_ends_in_one_line(folder: Path, content: bytes | None, message: str) -> None:
    (folder / "records.parquet").unlink()
    if content is not None:
        (folder / "records.parquet").write_bytes(content)

    done = run(folder)
    assert_refused(folder, done, "")
    assert message in done.stderr


def test_a_missing_column_ends_in_one_line(folder: Path) -> None:
    table.write(folder / "records.parquet", pa.schema([("row_id", pa.string())]), {"row_id": ["r1", "r2"]})

    assert_refused(folder, run(folder), "records.parquet: the column 'reward' is missing")


def test_a_wrong_flag_is_told_with_the_usage(folder: Path) -> None:
    done = run(folder, "--cutoff", "1")

    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m stages.filter_reward [-h] --records RECORDS ")
    assert done.stderr.endswith("error: unrecognized arguments: --cutoff 1\n")


class Section(stage.Params):
    n: int = Field(ge=1)
    names: list[str]


def test_a_section_is_read_whole_and_frozen(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("a: {n: 2, names: [x]}\nb: {free: [1, null]}\n")

    section = read_section("a", Section, file)
    assert section == Section(n=2, names=["x"])
    assert read_section("b", Knobs, file).root == {"free": [1, None]}
    with pytest.raises(ValueError, match="frozen"):
        section.n = 3


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_metrics_that_are_not_json_are_refused_and_the_old_ones_stay(tmp_path: Path, value: float) -> None:
    file = tmp_path / "metrics.json"
    write_metrics(file, {"b": 1, "a": {"d": 0.5, "c": None}})
    assert file.read_text() == '{\n  "a": {\n    "c": null,\n    "d": 0.5\n  },\n  "b": 1\n}\n'

    with pytest.raises(ValueError, match=r"^Out of range float values are not JSON compliant"):
        write_metrics(file, {"a": value})
    assert json.loads(file.read_text())["b"] == 1
    assert list(tmp_path.iterdir()) == [file]
