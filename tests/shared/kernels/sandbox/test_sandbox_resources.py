import json
import time

import psutil
import pytest

from stages.shared.kernels.sandbox.fork_server import ForkServer
from stages.shared.kernels.sandbox.frames import pack
from stages.shared.kernels.sandbox.limits import Limits
from tests.shared.kernels.conftest import AMPLE

# Which mechanism keeps the files out of reach makes no difference here.
pytestmark = pytest.mark.parametrize("lacking", ["", "namespaces"], indirect=True, scope="module")

SHORT = Limits(cpu_s=20, wall_s=0.3, memory_mb=256, output_mb=16)


def test_a_memory_bomb_ends_in_a_memory_error(hostile: ForkServer) -> None:
    outcome = hostile.run("memory_bomb", b"", AMPLE)
    assert (outcome.frames, outcome.ending, outcome.detail) == ([], "memory", "MemoryError")


def test_memory_that_python_does_not_count_is_bounded_too(hostile: ForkServer) -> None:
    outcome = hostile.run("memory_bombs", str(257 << 20).encode(), AMPLE)
    answer = json.loads(outcome.frames[0])
    assert (answer.pop("private"), answer.pop("shared")) == ("ENOMEM", "ENOMEM")
    assert set(answer.values()) == {"EPERM"}
    assert outcome.frames[1:] == [b"None"]


def test_limits_cannot_be_changed(hostile: ForkServer) -> None:
    outcome = hostile.run("change_limits", b"", AMPLE)
    answer = json.loads(outcome.frames[0])
    assert len(answer) == 15
    assert set(answer.values()) == {"EPERM"}


def test_a_native_loop_that_ignores_every_signal_ends_with_its_processor_time(hostile: ForkServer) -> None:
    outcome = hostile.run("native_loop", b"", Limits(cpu_s=1, wall_s=60, memory_mb=64, output_mb=1))
    assert (outcome.frames, outcome.ending, outcome.detail) == ([b"looping"], "timeout", "processor time")


def test_a_loop_ends_with_its_processor_time(hostile: ForkServer) -> None:
    outcome = hostile.run("loop", b"", Limits(cpu_s=0.5, wall_s=60, memory_mb=64, output_mb=1))
    assert (outcome.frames, outcome.ending, outcome.detail) == ([], "timeout", "processor time")


def test_a_native_loop_ends_when_the_wall_clock_says_so(hostile: ForkServer) -> None:
    began = time.monotonic()
    outcome = hostile.run("native_loop", b"", SHORT)
    assert (outcome.frames, outcome.ending, outcome.detail) == ([b"looping"], "timeout", "wall clock")
    assert 0.3 <= time.monotonic() - began < 10


def test_a_job_that_is_killed_before_it_begins_ends_nothing_else(hostile: ForkServer) -> None:
    """It has no process group of its own yet."""
    at_once = Limits(cpu_s=20, wall_s=0, memory_mb=256, output_mb=16)
    assert {hostile.run("native_loop", b"", at_once).ending for _ in range(30)} == {"timeout"}


def test_a_job_may_have_a_few_threads(hostile: ForkServer) -> None:
    outcome = hostile.run("few_threads", b"", AMPLE)
    assert (outcome.frames, outcome.ending) == ([b"thread"] * 4, "done")


def test_a_thread_bomb_is_killed(hostile: ForkServer) -> None:
    outcome = hostile.run("thread_bomb", b"", Limits(cpu_s=20, wall_s=60, memory_mb=100_000, output_mb=1))
    assert (outcome.ending, outcome.detail) == ("memory", "more than 64 threads")


@pytest.mark.parametrize(
    ("payload", "expected"),
    [(b"", ("timeout", "wall clock")), (b"threads", ("memory", "more than 64 threads"))],
)
def test_a_job_that_stops_and_goes_does_not_keep_the_fork_server_from_looking(
    hostile: ForkServer, payload: bytes, expected: tuple[str, str]
) -> None:
    outcome = hostile.run("stop_and_go", payload, Limits(cpu_s=20, wall_s=1, memory_mb=10_000, output_mb=1))
    assert (outcome.ending, outcome.detail) == expected


def test_a_flood_of_empty_frames_is_cut(hostile: ForkServer) -> None:
    outcome = hostile.run("write_much", pack("frame", b"") * 100_000, AMPLE)
    assert (outcome.ending, outcome.detail) == ("output", f"more than {16 << 20} bytes of frames")
    assert len(outcome.frames) < 16 << 10


def test_what_is_printed_goes_nowhere(hostile: ForkServer) -> None:
    outcome = hostile.run("print_much", b"", AMPLE)
    assert (outcome.frames, outcome.ending, outcome.detail) == ([], "done", "")


def test_a_gigabyte_of_frames_is_cut_and_costs_the_parent_no_more_than_the_limit(hostile: ForkServer) -> None:
    before = psutil.Process().memory_info().rss
    outcome = hostile.run("send_much", b"", AMPLE)
    assert (outcome.ending, outcome.detail) == ("output", f"more than {16 << 20} bytes of frames")
    assert [len(frame) for frame in outcome.frames] == [1_000_000] * 16
    assert psutil.Process().memory_info().rss - before < 64 << 20


def test_a_gigabyte_of_noise_is_cut(hostile: ForkServer) -> None:
    outcome = hostile.run("write_much", b"\xff" * 1_000_000, AMPLE)
    assert (outcome.frames, outcome.ending, outcome.detail) == ([], "output", "a message of the unknown kind 255")
