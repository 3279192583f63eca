"""Answers that cheat the clock, timed by real fork servers under the interpreter; what they gain is nothing."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from stages.shared.kernels.flags import Flag
from stages.shared.kernels.reports import Setting, Subject
from stages.shared.kernels.sandbox.fork_server import ForkServer
from stages.shared.kernels.sandbox.frames import pack
from stages.shared.kernels.sandbox.limits import Limits
from stages.shared.kernels.timekeeper import Timed, Timekeeper, planned
from stages.shared.kernels.timing_reports import TimingTask

LIMITS = Limits(cpu_s=60, wall_s=120, memory_mb=4096, output_mb=64)
MODULE = """\
import time
import torch
from torch import nn

class Total(nn.Module):
    def forward(self, x):
        time.sleep(0.002)
        return torch.softmax(x * 2.0, 1)

def get_inputs():
    return [torch.rand([8, 16])]
"""
HEAD = """\
import time
import torch
from torch import nn

"""
HONEST = """
class TotalNew(nn.Module):
    def forward(self, x):
        time.sleep(0.001)
        return torch.softmax(x * 2.0, 1)
"""
SLOWER = HONEST.replace("0.001", "0.004")
CHEATS = {
    "stops the clocks": """
for name in ("perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "time"):
    setattr(time, name, lambda: 0)
"""
    + SLOWER,
    "stops the events": """
torch.cuda.Event.elapsed_time = lambda *_: 0.0
torch.cuda.synchronize = lambda *_: None
"""
    + SLOWER,
    "slows the module down": """
softmax = torch.softmax
def slow(*words):
    time.sleep(0.02)
    return softmax(*words)
torch.softmax = slow

class TotalNew(nn.Module):
    def forward(self, x):
        time.sleep(0.004)
        return softmax(x * 2.0, 1)
""",
    "finds the clock": """
import gc
for device in gc.get_objects():
    if type(device).__name__ == "Host":
        device._clock = lambda: 0
"""
    + SLOWER,
}

CAUGHT = {"slows the module down", "finds the clock"}
WITHOUT_WORK = {
    "keeping its first result": """
class TotalNew(nn.Module):
    kept = None
    def forward(self, x):
        if self.kept is None:
            self.kept = torch.softmax(x * 2.0, 1)
        return self.kept
""",
    "leaving it to a thread": """
import threading
class TotalNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        threading.Timer(0.05, lambda: out.copy_(torch.softmax(x * 2.0, 1))).start()
        return out
""",
    "working for its first calls only": """
calls = []
class TotalNew(nn.Module):
    def forward(self, x):
        calls.append(1)
        return torch.softmax(x * 2.0, 1) if len(calls) < 6 else x
""",
}


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with ForkServer("tests.shared.kernels.cuda_on_cpu") as server:
        yield server


@pytest.fixture(scope="module")
def keeper() -> Timekeeper:
    return Timekeeper()


def task(answer: str, module: str = MODULE) -> TimingTask:
    setting = Setting([False], random=False, grad=False, by_inputs=False, stateless=True, varies=True)
    subject = Subject(module, "Total", "total")
    return TimingTask(subject, setting, setting.evaluation[0], HEAD + answer, ["TotalNew"], [], [], 0.0)


def timed(keeper: Timekeeper, server: ForkServer, answer: str, limits: Limits = LIMITS, module: str = MODULE) -> Timed:
    return keeper.time(server, task(answer, module), limits)


def test_an_answer_twice_as_fast_has_a_speedup_of_two(keeper: Timekeeper, server: ForkServer) -> None:
    found = timed(keeper, server, HONEST)

    assert found.flags == []
    assert found.speedup == pytest.approx(2.0, rel=0.35)


def test_what_an_answer_does_only_at_first_does_not_count(keeper: Timekeeper, server: ForkServer) -> None:
    """As one that compiles or tunes itself in its first calls."""
    tunes = HONEST.replace(
        "        time.sleep", "        calls.append(1)\n        time.sleep(0.1 * (len(calls) < 4))\n        time.sleep"
    )

    found = timed(keeper, server, "calls = []\n" + tunes)

    assert found.flags == []
    assert found.speedup == pytest.approx(2.0, rel=0.35)


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_slow_answer_gains_nothing_by(keeper: Timekeeper, server: ForkServer, cheat: str) -> None:
    found = timed(keeper, server, CHEATS[cheat])

    assert found.speedup is not None
    assert found.speedup < 0.8
    assert found.flags == (["patched_checker"] if cheat in CAUGHT else [])


@pytest.mark.parametrize("cheat", WITHOUT_WORK)
def test_timed_calls_must_return_what_the_module_returns(keeper: Timekeeper, server: ForkServer, cheat: str) -> None:
    assert timed(keeper, server, WITHOUT_WORK[cheat]) == Timed(None, ["cached_output"], wrong=True)


@pytest.mark.parametrize(
    ("code", "flags"),
    [
        ("import os\nos._exit(0)", ["forged_exit"]),
        ("raise ValueError", ["crash"]),
        ("import ctypes\nctypes.string_at(0)", ["crash"]),
        ("while True:\n    pass", ["timeout"]),
        (f"import os\nos.write(3, {pack('done', b'')!r})\nos._exit(0)", ["patched_checker"]),
    ],
    ids=["exits", "raises", "crashes", "hangs", "says that it is done"],
)
def test_an_answer_that_does_not_come_to_its_end_has_no_speedup(
    keeper: Timekeeper, server: ForkServer, code: str, flags: list[Flag]
) -> None:
    assert timed(keeper, server, code, replace(LIMITS, cpu_s=4)) == Timed(None, flags)


def test_an_answer_to_a_module_that_cannot_be_timed_has_no_speedup(keeper: Timekeeper, server: ForkServer) -> None:
    assert timed(keeper, server, HONEST, module=MODULE + "\nraise ValueError") == Timed(None, [])


def test_seeds_and_shown_laps_are_the_same_in_every_run_and_differ_between_modules() -> None:
    one, again, other = (planned(task(HONEST, module)) for module in (MODULE, MODULE, MODULE + "#"))

    assert one == again
    assert len(set(one.seeds)) == len(one.seeds) == 60
    assert len(one.shown) == 2
    assert set(one.shown) < set(range(10))
    assert set(one.seeds).isdisjoint(other.seeds)
