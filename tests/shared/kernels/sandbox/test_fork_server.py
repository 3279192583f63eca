import os
import signal
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stages.shared.kernels.sandbox.fork_server import ForkServer
from stages.shared.kernels.sandbox.frames import pack
from stages.shared.kernels.sandbox.limits import Limits
from stages.shared.kernels.sandbox.outcome import Outcome
from tests.shared.kernels.conftest import AMPLE

TASKS = "tests.shared.kernels.sandbox.hostile_tasks"
SHORT = Limits(cpu_s=20, wall_s=0.3, memory_mb=64, output_mb=1)


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with ForkServer(TASKS) as started:
        yield started


def test_a_task_gets_its_payload_and_its_frames_arrive_in_order(server: ForkServer) -> None:
    payload = os.urandom(5_000_000)
    assert server.run("echo", payload, AMPLE) == Outcome([payload], "done", "")
    assert server.run("echo", b"", AMPLE) == Outcome([b""], "done", "")
    began = time.monotonic()
    outcome = server.run("few_threads", b"", AMPLE)
    assert outcome == Outcome([b"thread"] * 4, "done", "")
    moments = [began, *outcome.times, time.monotonic()]
    assert (len(moments), moments) == (6, sorted(moments))


@pytest.mark.parametrize(
    ("task", "payload", "expected"),
    [
        ("exit_at_once", b"0", Outcome([b"honest"], "exited", "exit code 0 before the task returned")),
        ("exit_at_once", b"7", Outcome([b"honest"], "exited", "exit code 7 before the task returned")),
        ("exit_politely", b"0", Outcome([], "exited", "exit code 0 before the task returned")),
        ("exit_politely", b"3", Outcome([], "exited", "exit code 3 before the task returned")),
        ("fall_over", b"", Outcome([b"honest"], "crashed", "signal 11")),
        ("run_out_of_memory_by_word", b"", Outcome([], "memory", "MemoryError")),
        ("close_the_channel", b"", Outcome([b"honest"], "exited", "exit code 1 before the task returned")),
    ],
)
def test_the_ending_says_how_a_job_ended(server: ForkServer, task: str, payload: bytes, expected: Outcome) -> None:
    assert server.run(task, payload, AMPLE) == expected


def test_a_task_that_raises_tells_its_traceback(server: ForkServer) -> None:
    outcome = server.run("read_secrets", b"no JSON", AMPLE)
    assert (outcome.frames, outcome.ending) == ([], "crashed")
    assert outcome.detail.startswith("Traceback (most recent call last):\n")
    assert outcome.detail.endswith("JSONDecodeError: Expecting value: line 1 column 1 (char 0)\n")


def test_an_unknown_task_is_no_outcome(server: ForkServer) -> None:
    with pytest.raises(RuntimeError, match=r"the job did not get to its task: (.*\n)+KeyError: 'no_such_task'"):
        server.run("no_such_task", b"", AMPLE)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (struct.pack(">BI", 1, 0xFFFFFFFF), Outcome([b"honest"], "output", "more than 16777216 bytes of frames")),
        (struct.pack(">BI", 1, 17 << 20) + b"x", Outcome([b"honest"], "output", "more than 16777216 bytes of frames")),
        (struct.pack(">BI", 9, 1) + b"x", Outcome([b"honest"], "output", "a message of the unknown kind 9")),
        (struct.pack(">BI", 1, 100) + b"half", Outcome([b"honest"], "exited", "exit code 0 before the task returned")),
        (b"\x01", Outcome([b"honest"], "output", "more than 16777216 bytes of frames")),
        (pack("frame", b"forged"), Outcome([b"honest", b"forged"], "done", "")),
        (pack("done", b"") + pack("frame", b"late"), Outcome([b"honest"], "done", "")),
        (pack("started", b"") * 3, Outcome([b"honest"], "done", "")),
        (pack("raised", b"\xff"), Outcome([b"honest"], "crashed", "\ufffd")),
    ],
)
def test_bytes_that_are_no_frames_cost_nothing_but_their_job(
    server: ForkServer, written: bytes, expected: Outcome
) -> None:
    assert server.run("write_once", written, AMPLE) == expected
    assert server.run("echo", b"works", AMPLE) == Outcome([b"works"], "done", "")


def test_a_forged_done_is_no_done_unless_the_process_ends_well(server: ForkServer) -> None:
    assert server.run("write_and_sleep", pack("done", b""), SHORT) == Outcome([b"honest"], "timeout", "wall clock")


@pytest.mark.parametrize("task", ["write_and_sleep", "close_the_channel_and_sleep"])
def test_waiting_for_the_rest_of_a_frame_ends_with_the_wall_clock(server: ForkServer, task: str) -> None:
    began = time.monotonic()
    outcome = server.run(task, struct.pack(">BI", 1, 100) + b"half", SHORT)
    assert outcome == Outcome([b"honest"], "timeout", "wall clock")
    assert 0.3 <= time.monotonic() - began < 10


def test_frames_of_a_job_that_is_killed_are_kept(server: ForkServer) -> None:
    assert server.run("sleep", b"60", SHORT) == Outcome([b"asleep"], "timeout", "wall clock")


def test_a_fork_server_that_died_is_started_again(tmp_path: Path) -> None:
    with ForkServer(TASKS) as server:
        server.ready()
        first = server.process_id
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert server.run("echo", b"again", AMPLE) == Outcome([b"again"], "done", "")
        assert server.process_id != first


def test_a_job_runs_again_when_its_fork_server_died_and_not_a_third_time() -> None:
    with ForkServer(TASKS) as server:
        server.ready()
        threading.Timer(0.3, _kill, (server,)).start()
        assert server.run("sleep", b"0.5", AMPLE) == Outcome([b"asleep"], "done", "")
        for wait_s in (0.2, 1.5):
            threading.Timer(wait_s, _kill, (server,)).start()
        with pytest.raises(RuntimeError, match="the fork server died twice during sleep"):
            server.run("sleep", b"60", AMPLE)


def _kill(server: ForkServer) -> None:
    assert server.process_id is not None
    os.kill(server.process_id, signal.SIGKILL)


def test_a_fork_server_may_be_used_after_the_thread_that_started_it() -> None:
    with ForkServer(TASKS) as server:
        starter = threading.Thread(target=server.ready)
        starter.start()
        starter.join()
        first = server.process_id
        assert server.run("echo", b"works", AMPLE) == Outcome([b"works"], "done", "")
        assert server.process_id == first


def test_to_end_a_fork_server_ends_the_job_that_another_thread_waits_for() -> None:
    raised: list[BaseException] = []

    def wait_for_the_job() -> None:
        try:
            own.run("loop", b"", AMPLE)
        except RuntimeError as error:
            raised.append(error)

    with ForkServer(TASKS) as own:
        own.ready()
        started = psutil.Process(own.process_id)
        waiter = threading.Thread(target=wait_for_the_job)
        waiter.start()
        while len(processes := [started, *started.children(recursive=True)]) < 3:
            time.sleep(0.01)
    waiter.join(10)
    assert [str(error) for error in raised] == [f"{TASKS}: the fork server was ended"]
    assert psutil.wait_procs(processes, timeout=10)[1] == []


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ("raise ValueError('torch: expected 2.13')", ValueError, "^torch: expected 2.13$"),
        ("import no_such_module", RuntimeError, "did not start: (.*\n)+ModuleNotFoundError: .*'no_such_module'$"),
        ("import os; os.abort()", RuntimeError, "did not start: $"),
    ],
)
def test_a_module_that_cannot_warm_up_says_why(body: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / "cold_tasks.py").write_text(f"TASKS = {{}}\ndef warm():\n    {body}\n")
    with (
        ForkServer("cold_tasks", environment={"PYTHONPATH": str(tmp_path)}) as server,
        pytest.raises(error, match=message),
    ):
        server.ready()
