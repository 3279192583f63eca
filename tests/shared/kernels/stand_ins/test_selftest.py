"""Triton's interpreter is tested where it is used: in a process of its own, which has it instead of the compiler."""

import json
import subprocess
import sys

import pytest

from tests.imports import ROOT

START = """
import json, os
os.environ["TRITON_INTERPRET"] = "1"
import numpy, torch, triton
from triton.runtime.interpreter import InterpreterBuilder
from stages.shared.kernels.stand_ins import cuda_stand_in, selftest
from stages.shared.kernels import interpret_tasks
"""
BROKEN = {
    "nothing": ("torch", "no_such_name", "None"),
    "exp": ("InterpreterBuilder", "create_exp", "lambda self, arg: arg"),
    "atomics": ("InterpreterBuilder", "create_atomic_rmw", "None"),
    "block pointers": ("triton.language", "make_block_ptr", "None"),
    "float32": ("InterpreterBuilder", "create_fadd", "lambda self, a, b: self.binary_op(a, b, numpy.subtract)"),
}
BREAK_EACH = """
interpret_tasks.warm()
for owner, name, broken in {changes}:
    before = getattr(owner, name, None)
    setattr(owner, name, broken)
    try:
        selftest.run()
        print(json.dumps("passed"))
    except ValueError as error:
        print(json.dumps(str(error)))
    setattr(owner, name, before)
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", START + code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def results() -> dict[str, str]:
    """What the self-test says of interpreters that are broken in one place."""
    changes = ", ".join(f"({owner}, {name!r}, {broken})" for owner, name, broken in BROKEN.values())
    done = run(BREAK_EACH.format(changes=f"[{changes}]"))
    assert done.returncode == 0, done.stderr
    return dict(zip(BROKEN, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("nothing", "passed"),
        ("exp", "reductions gives a wrong result"),
        ("atomics", "atomic operations raises TypeError: 'NoneType' object is not callable"),
        ("block pointers", "block pointers and scans raises TypeError: 'NoneType' object is not callable"),
        ("float32", "masked loads and stores gives a wrong result"),
    ],
)
def test_versions_that_compute_something_else_are_refused(broken: str, said: str, results: dict[str, str]) -> None:
    assert results[broken].startswith(said)
    assert broken == "nothing" or results[broken].endswith(": install the pinned versions")
    assert broken == "nothing" or " in Triton's interpreter with triton 3.7" in results[broken]


def test_the_interpreter_as_it_comes_would_not_do() -> None:
    done = run("cuda_stand_in.install()\nselftest.run()")

    assert done.returncode == 1
    assert "tl.dot in TF32 gives a wrong result in Triton's interpreter" in done.stderr.splitlines()[-1]
