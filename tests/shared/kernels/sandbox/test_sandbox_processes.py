import json
import os
from pathlib import Path

import psutil

from stages.shared.kernels.sandbox.fork_server import ForkServer
from stages.shared.kernels.sandbox.limits import Limits
from tests.shared.kernels.conftest import AMPLE
from tests.shared.kernels.sandbox.hostile_system_calls import CALLS

REFUSED = {"EPERM", "EACCES", "ENOENT", "ENOSYS"}


def pids(server: ForkServer) -> bytes:
    return json.dumps([os.getpid(), server.process_id]).encode()


def attempts(server: ForkServer, task: str, payload: bytes = b"") -> dict[str, str]:
    outcome = server.run(task, payload, AMPLE)
    assert (outcome.ending, len(outcome.frames)) == ("done", 1), outcome
    answer: dict[str, str] = json.loads(outcome.frames[0])
    return answer


def test_a_fork_bomb_does_not_fork_once(hostile: ForkServer) -> None:
    outcome = hostile.run("fork_bomb", b"", AMPLE)
    assert outcome.ending == "crashed"
    assert outcome.detail.endswith("PermissionError: [Errno 1] Operation not permitted\n")


def test_no_way_to_start_a_process_or_another_program_works(hostile: ForkServer) -> None:
    answer = attempts(hostile, "start_processes")
    assert len(answer) == 13
    assert set(answer.values()) <= REFUSED


def test_a_job_cannot_leave_a_daemon_behind(hostile: ForkServer) -> None:
    outcome = hostile.run("daemonise", b"", AMPLE)
    assert (outcome.frames, outcome.ending) == ([], "crashed")


def test_other_processes_cannot_be_killed_or_slowed(hostile: ForkServer) -> None:
    before = psutil.Process().nice(), psutil.Process().cpu_affinity()
    answer = attempts(hostile, "signal_others", pids(hostile))
    assert set(answer.values()) <= REFUSED
    assert (psutil.Process().nice(), psutil.Process().cpu_affinity()) == before


def test_a_job_cannot_pretend_that_the_kernel_killed_it(hostile: ForkServer) -> None:
    assert set(attempts(hostile, "kill_itself").values()) == {"EPERM"}


def test_memory_and_descriptors_of_other_processes_cannot_be_read(hostile: ForkServer) -> None:
    answer = attempts(hostile, "read_others", pids(hostile))
    assert set(answer.values()) <= REFUSED


def test_no_socket_can_be_opened_and_the_channel_is_used_as_none(hostile: ForkServer) -> None:
    answer = attempts(hostile, "open_sockets")
    assert len(answer) == 13
    assert set(answer.values()) <= {"EPERM", "ENOSYS"}


def test_a_job_has_nothing_open_but_its_channel(hostile: ForkServer) -> None:
    outcome = hostile.run("open_descriptors", b"", AMPLE)
    null = [f"{standard} 1:3".encode() for standard in range(3)]  # /dev/null: null(4)
    assert outcome.frames == [*null, b"3 socket"]


def test_the_environment_has_no_more_than_a_python_needs(hostile: ForkServer) -> None:
    outcome = hostile.run("environment", b"", AMPLE)
    python, library = json.loads(outcome.frames[0])
    scratch = python.pop("HOME")
    assert Path(scratch).name == "scratch"
    assert python == {
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PATH": os.defpath,
        "PYTHONHASHSEED": "0",
        "TMPDIR": scratch,
        "USER": "nobody",
    }
    assert library == {"HOME": scratch, **python}
    assert set(json.loads(outcome.frames[1]).values()) <= REFUSED


def test_system_calls_past_the_c_library_are_refused(hostile: ForkServer) -> None:
    answer = attempts(hostile, "call_everything")
    assert len(answer) == len(CALLS) + 6
    assert {name: error for name, error in answer.items() if error not in {"EPERM", "ENOSYS"}} == {}


def test_system_calls_of_another_architecture_end_the_job(hostile: ForkServer) -> None:
    outcome = hostile.run("call_of_another_architecture", b"", AMPLE)
    assert (outcome.frames, outcome.ending) == ([b"before"], "crashed")


def test_a_job_that_stops_itself_is_killed(hostile: ForkServer) -> None:
    outcome = hostile.run("stop_itself", b"", Limits(cpu_s=5, wall_s=0.2, memory_mb=64, output_mb=1))
    assert (outcome.ending, outcome.detail) == ("timeout", "wall clock")
