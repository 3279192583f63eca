"""What the installed verifiers writes is what `ingest` reads: `vf-eval` against the scripted server, then the stage."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages import ingest
from tests.chat_server import Action, ChatServer, Received, chat
from tests.imports import ROOT
from tests.stages import tables

PROJECT = ROOT / "tests" / "verifiers"
TASKSET = '''
import json
import sys
from pathlib import Path

import verifiers.v1 as vf

ASK = """
import json, sys, urllib.request
endpoint, secret, model, prompt = sys.argv[1:]
body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
request = urllib.request.Request(f"{endpoint}/chat/completions", json.dumps(body).encode(), headers)
urllib.request.urlopen(request).read()
"""


class KernelData(vf.TaskData):
    module_name: str
    python_code: str
    licenses: list[str]


class KernelTask(vf.Task[KernelData]):
    @vf.reward(weight=0.5)
    async def answered(self, trace: vf.Trace) -> float:
        return float("<answer>" in trace.last_reply)

    @vf.reward(weight=0.25)
    async def short(self, trace: vf.Trace) -> float:
        return float(len(trace.last_reply) < 100)


class KernelConfig(vf.TasksetConfig):
    modules: Path = Path("modules.jsonl")


class Kernels(vf.Taskset[KernelTask, KernelConfig]):
    def load(self):
        for line in self.config.modules.read_text().splitlines():
            row = json.loads(line)
            facts = {name: row[name] for name in ("module_name", "python_code", "licenses")}
            yield KernelTask(KernelData(prompt=f"Rewrite {row['module_name']}.", **facts), self.config.task)


class AskOnceConfig(vf.HarnessConfig):
    pass


class AskOnce(vf.Harness[AskOnceConfig]):
    NEEDS_CONTAINER = False

    async def launch(self, ctx, trace, runtime, endpoint, secret, mcp_urls, data):
        return await runtime.run_program([sys.executable, "-c", ASK, endpoint, secret, ctx.model, data.prompt], {})


__all__ = ["AskOnce", "Kernels"]
'''
"""A taskset, and a harness that asks once. The harnesses that come with verifiers install packages when they run."""


@pytest.fixture(scope="module")
def vf_eval() -> Path:
    """The program, of the versions that are pinned."""
    kept = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"}}
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv is not None, "uv is not on PATH"
    synced = subprocess.run(
        [uv, "sync", "--quiet", "--project", str(PROJECT), "--python", sys.executable],
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )
    assert synced.returncode == 0, synced.stderr
    return PROJECT / ".venv" / "bin" / "vf-eval"


def reply(received: Received) -> Action:
    """An answer at first, then one that is cut off."""
    if received.nth == 0:
        return chat("Done.\n\n<answer>\nimport triton\n</answer>", reasoning=f"Think of {received.prompt}")
    return chat("No. " * 40, "length", usage={"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14})


def test_what_vf_eval_writes_is_ingested(vf_eval: Path, tmp_path: Path) -> None:
    modules = [json.loads(line) for line in (ROOT / "data" / "sample" / "modules.jsonl").read_text().splitlines()[:2]]
    (tmp_path / "modules.jsonl").write_text("".join(json.dumps(module) + "\n" for module in modules))
    (tmp_path / "kernel_tasks.py").write_text(TASKSET)
    with ChatServer(reply) as server:
        words = [str(vf_eval), "kernel_tasks", "--env.taskset.modules", "modules.jsonl", "--model", "scripted"]
        words += ["--client.base-url", server.url, "--client.api-key-var", "CHAT_KEY", "--num-rollouts", "2"]
        words += ["--env.agent.runtime.type", "subprocess", "--max-concurrent", "1"]
        words += ["--output-dir", "out", "--run.name", "one", "--no-push", "--no-rich"]
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path), "CHAT_KEY": "none"}
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stderr
        assert len(server.received) == 4

    params = ingest.Params(base="", limit=None, max_reject_fraction=0.0)
    metrics = ingest.run(
        params,
        base=tmp_path / "out" / "one" / "traces.jsonl",
        records=tmp_path / "records.parquet",
        rejects=tmp_path / "rejects.parquet",
    )

    assert (metrics["rows_in"], metrics["kept"]) == (4, 4)
    assert metrics["source_format"] == {"verifiers-0.4": 4}
    rows = sorted(tables.rows(tmp_path / "records.parquet"), key=lambda row: (row["example_id"], -row["reward"]))
    assert [(row["example_id"], row["reward"], row["answer"], row["is_truncated"]) for row in rows] == [
        (0, 0.75, "import triton", False),
        (0, 0.0, None, True),
        (1, 0.75, "import triton", False),
        (1, 0.0, None, True),
    ]
    for row in rows:
        module = modules[row["example_id"]]
        assert {name: row[name] for name in ("module_name", "python_code", "licenses")} == {
            name: module[name] for name in ("module_name", "python_code", "licenses")
        }
        prompt = f"Rewrite {module['module_name']}."
        assert row["prompt"] == [{"role": "user", "content": prompt}]
        assert row["reasoning"] == (f"Think of {prompt}" if row["answer"] else None)
        assert row["generation_ms"] > 0
