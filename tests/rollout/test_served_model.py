"""`serve: managed`: the stage starts a server, and never leaves one behind."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from stages.rollout.served_model import secret_values
from tests.rollout.generation import Generation
from tests.rollout.stand_in_vllm import write_program

FLAGS = ["--tensor-parallel-size=2", "--enable-prefix-caching", "--speculative-config.method", "mtp"]


def runs(pid: int) -> bool:
    """Whether a process is there; a zombie that nobody has waited for yet is not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Managed(Generation):
    """The same folder with a program `vllm` in it."""

    def __init__(self, folder: Path, *, modules: int = 4) -> None:
        super().__init__(folder, modules=modules)
        self.entry |= {"serve": "managed", "flags": FLAGS}
        self.program = write_program(folder)

    def environment(self, url: str, **settings: str) -> dict[str, str]:
        kept = super().environment(url) | {"STAND_IN_STARTS": str(self.folder / "starts")}
        kept["PATH"] = f"{self.folder}{os.pathsep}{kept['PATH']}"
        return kept | settings

    def starts(self) -> list[dict[str, Any]]:
        """How the server was started, each time."""
        file = self.folder / "starts"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def left(self) -> list[int]:
        """Processes of servers that still run."""
        return [pid for start in self.starts() for pid in start["pids"] if runs(pid)]


@pytest.fixture
def run(tmp_path: Path) -> Managed:
    return Managed(tmp_path)


def wait_for(what: Callable[[], bool], seconds: float = 15.0) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def test_a_server_with_the_flags_runs_while_something_is_owed_and_no_longer(run: Managed) -> None:
    """The endpoint and key of the environment are not used, and nothing is started when all is stored."""
    run.succeed("http://127.0.0.1:9/v1")
    [start] = run.starts()

    assert [line["completion"][0]["reasoning_content"] for line in run.completions()] == ["thought"] * 8
    told = {name: start[name] for name in ("model", "served_model_name", "host", "tensor_parallel_size", "method")}
    assert told == {
        "model": "maker/tiny-1",
        "served_model_name": "maker/tiny-1",
        "host": "127.0.0.1",
        "tensor_parallel_size": 2,
        "method": "mtp",
    }
    assert start["enable_prefix_caching"]
    assert run.left() == []
    assert "loading maker/tiny-1" in (run.folder / ".responses" / "serve.tiny.log").read_text()

    run.succeed("http://127.0.0.1:9/v1")
    assert len(run.starts()) == 1
    run.entry["sample"] = 1
    run.succeed("http://127.0.0.1:9/v1")
    assert len(run.starts()) == 2


def test_a_server_that_dies_while_it_starts_shows_its_last_lines(run: Managed) -> None:
    code, told = run.run("", STAND_IN_DIES="ValueError: no GPU here")

    assert code == 1
    log_file = run.folder / ".responses" / "serve.tiny.log"
    assert told.splitlines()[-4:] == [
        "generate: vllm: loading maker/tiny-1",
        "generate: vllm: engine core starts",
        "generate: vllm: ValueError: no GPU here",
        f"generate: vllm serve ended with exit code 3 ({log_file}): ValueError: no GPU here",
    ]
    assert run.left() == []


def test_a_flag_that_vllm_does_not_know_is_shown(run: Managed) -> None:
    run.entry["flags"] = ["--tensor-paralel-size=2"]
    last = run.fail("")

    assert "vllm serve ended with exit code 2" in last
    assert last.endswith("error: unrecognized arguments: --tensor-paralel-size=2")


def test_a_server_that_dies_in_the_middle_ends_the_run_at_once_and_the_next_one_goes_on(tmp_path: Path) -> None:
    run = Managed(tmp_path, modules=20)
    began = time.monotonic()
    last = run.fail("", STAND_IN_DIES_AFTER="10", LLM_CONCURRENCY="2")
    kept = run.stored()
    assert last.endswith("serve.tiny.log): engine core died")
    assert "vllm serve ended with exit code 7" in last
    assert time.monotonic() - began < 20.0
    assert 8 <= kept <= 10

    run.succeed("", STAND_IN_DIES_AFTER=str(40 - kept))
    assert len(run.completions()) == 40
    assert run.left() == []


def test_a_server_that_never_becomes_healthy_is_given_up(run: Managed) -> None:
    last = run.fail("", STAND_IN_SLOW_S="600", VLLM_START_S="1")

    assert last.startswith("generate: vllm serve is not healthy after VLLM_START_S = 1 s (")
    assert last.endswith("): loading maker/tiny-1")
    assert run.left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_server_is_left_when_the_stage_is_stopped_while_it_waits(run: Managed, number: signal.Signals) -> None:
    stage = run.start("", STAND_IN_SLOW_S="600")
    wait_for(lambda: bool(run.starts()))
    time.sleep(0.2)
    stage.send_signal(number)
    told = stage.communicate(timeout=30)[1]

    wait_for(lambda: run.left() == [])
    if number != signal.SIGKILL:
        assert stage.returncode == 1
        assert told.splitlines()[-1] == f"generate: stopped by {number.name}; run again to go on"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_server_is_left_when_the_stage_is_stopped_while_it_asks(tmp_path: Path, number: signal.Signals) -> None:
    run = Managed(tmp_path, modules=400)
    stage = run.start("", LLM_CONCURRENCY="1")
    wait_for(lambda: any((tmp_path / ".responses").glob("*.jsonl")))
    stage.send_signal(number)
    stage.communicate(timeout=30)

    wait_for(lambda: run.left() == [])
    assert stage.returncode != 0


def test_a_server_that_hangs_ends_the_run(run: Managed) -> None:
    """No request fails, and none is answered."""
    last = run.fail("", STAND_IN_HANGS_AFTER="2", LLM_PATIENCE_S="1", LLM_CONCURRENCY="1")

    assert re.fullmatch(r"generate: vllm serve runs, and has not been healthy for \d+ s \(.*serve.tiny.log\)", last)
    assert run.stored() == 2
    assert run.left() == []


def test_no_server_is_left_when_the_leash_is_killed(run: Managed) -> None:
    """Nor what it started, which nobody else would end."""
    stage = run.start("", STAND_IN_SLOW_S="600")
    wait_for(lambda: bool(run.starts()))
    [leash] = psutil.Process(stage.pid).children()
    leash.kill()
    told = stage.communicate(timeout=30)[1]

    assert run.left() == []
    assert stage.returncode == 1
    assert "vllm serve ended with exit code -9" in told.splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_impatient_signal_adds_no_traceback_and_leaves_no_server(run: Managed, number: signal.Signals) -> None:
    stage = run.start("", STAND_IN_SLOW_S="600")
    wait_for(lambda: bool(run.starts()))
    time.sleep(0.2)
    while stage.poll() is None:
        stage.send_signal(number)
        time.sleep(0.02)
    told = stage.communicate(timeout=30)[1]

    wait_for(lambda: run.left() == [])
    assert stage.returncode in {1, 130, -number}
    assert "Traceback" not in told


def test_a_secret_among_the_flags_is_not_logged(run: Managed) -> None:
    run.entry["flags"] = ["--hf-token=hf_0123456789", *FLAGS]
    code, told = run.run("")

    assert code == 0
    assert "--hf-token=*** --tensor-parallel-size=2" in told
    run.entry["flags"] = ["--hf-token", "hf_0123456789", "--hf-tokens=1"]
    run.entry["sample"] = 1
    code, told_of_failure = run.run("")
    assert code == 1
    assert "--hf-token *** --hf-tokens=1" in told_of_failure
    assert "hf_0123456789" not in told + told_of_failure


def test_flags_that_name_tokens_hold_no_secret() -> None:
    flags = ["--max-num-batched-tokens=8192", "--tokenizer=a/b", "--ssl-keyfile", "file", "--api_key", "--x"]

    assert secret_values(flags) == []


def test_no_server_is_left_when_dvc_is_killed(run: Managed) -> None:
    """The parent of the stage, that is."""
    run.write_params()
    parent = subprocess.Popen(
        ["sh", "-c", '"$@"; true', "sh", *run.words("generate")],
        cwd=run.folder,
        env=run.environment("", STAND_IN_SLOW_S="600"),
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: bool(run.starts()))
    parent.kill()
    parent.wait()

    wait_for(lambda: run.left() == [])


@pytest.mark.parametrize(
    ("change", "settings", "expected"),
    [
        (
            {},
            {"VLLM_EXECUTABLE": "/nowhere/vllm"},
            "serve: managed needs VLLM_EXECUTABLE = /nowhere/vllm, which is no program",
        ),
        ({}, {"PATH": "/nowhere"}, "serve: managed needs vllm (uv sync --extra vllm)"),
        ({}, {"VLLM_START_S": "soon"}, "VLLM_START_S: expected a number above 0, got 'soon'"),
        ({"flags": ["--port=1"]}, {}, "--api-key, --host, --port, --served-model-name are set by the stage"),
        (
            {"flags": ["--seed 1"]},
            {},
            "expected one word per item: --flag=value, or the flag and its value as two items",
        ),
        ({"provider": "prime"}, {}, "serve: managed runs vLLM, expected provider: vllm"),
        ({"serve": "external"}, {}, "flags are those of serve: managed"),
        ({"formula": "speedup"}, {}, "formula: speedup is measured on a GPU, expected mode: cuda"),
    ],
)
def test_what_cannot_be_served_is_said(
    run: Managed, change: dict[str, Any], settings: dict[str, str], expected: str
) -> None:
    run.entry |= change

    assert expected in run.fail("", **settings)
