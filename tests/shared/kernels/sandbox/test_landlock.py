import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.shared.kernels.sandbox import landlock
from tests.imports import ROOT

CONFINED = """
import json, os, sys
from pathlib import Path
from stages.shared.kernels.sandbox import confinement, readable
from stages.shared.kernels.sandbox.confinement import Mechanisms, Place
from stages.shared.kernels.sandbox.limits import Limits
from tests.shared.kernels.sandbox import hostile_files, hostile_processes

version, folder, precious, parent = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
place = Place(folder, readable.files([Path.cwd()], gpu=False), readable.devices(gpu=False))
os.chdir(place.scratch)
limits = Limits(cpu_s=10, wall_s=60, memory_mb=256, output_mb=1)
confinement.confine(Mechanisms(namespaces=False, landlock=version, seccomp=True), place, limits, 0, os.getppid())
send = lambda frame: print(frame.decode())
hostile_files.read_secrets(json.dumps([precious]).encode(), send)
hostile_files.write_outside(json.dumps([precious, str(folder)]).encode(), send)
hostile_processes.signal_others(json.dumps([parent]).encode(), send)
hostile_processes.open_sockets(b"", send)
Path("own").write_text("works")
print(json.dumps(Path("own").read_text()))
"""


@pytest.mark.parametrize("version", range(1, landlock.version() + 1))
def test_whatever_a_version_does_not_know_is_refused_by_seccomp(version: int, tmp_path: Path) -> None:
    """A kernel with a newer version treats a process that asks for an older one as the older kernel would."""
    scratch = tmp_path / "folder" / "scratch"
    scratch.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    words = [str(version), str(scratch.parent), str(precious), str(os.getpid())]
    command = [sys.executable, "-c", CONFINED, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    answers: list[Any] = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers.pop() == "works"
    assert [len(answer) for answer in answers] == [10, 23, 42, 13]
    for answer in answers:
        assert set(answer.values()) <= {"EPERM", "EACCES", "ENOENT", "ENOSYS", "EXDEV"}
    assert precious.read_text() == "precious"
