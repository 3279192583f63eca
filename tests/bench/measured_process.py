"""Run a command in a process of its own and measure it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

# `ru_maxrss` is in bytes on macOS and in KiB elsewhere.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Measured(NamedTuple):
    """What a command took."""

    seconds: float
    """Wall time."""
    peak_mb: float
    """Peak resident memory in 10^6 bytes: that of the largest of its processes."""


def run_measured(command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end.

    A process inherits the peak of the one that starts it, so a small one stands between: this module as a script.

    Raises:
        RuntimeError: the command and the end of what it wrote, when it fails.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        result = Path(folder) / "result.json"
        between = [sys.executable, "-I", "-S", __file__, str(result)]
        subprocess.run([*between, *command], cwd=cwd, env=env, stdout=output, stderr=output, check=True)
        found = json.loads(result.read_text(encoding="utf-8"))
        if found["exit_code"] != 0:
            output.seek(0)
            wrote = output.read()[-2000:].decode(errors="replace")
            raise RuntimeError(f"{' '.join(command)}: exit code {found['exit_code']}\n{wrote}")
    return Measured(found["seconds"], found["peak_mb"])


def _main(result: Path, command: list[str]) -> None:
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    found = {"exit_code": process.returncode, "seconds": seconds, "peak_mb": usage.ru_maxrss * _RSS_UNIT / 1e6}
    result.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2:])
