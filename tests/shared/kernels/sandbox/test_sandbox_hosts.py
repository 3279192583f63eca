"""What happens on hosts that lack some of what the sandbox needs."""

import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from stages.shared.kernels.sandbox.fork_server import ForkServer
from stages.shared.kernels.sandbox.host import check
from stages.shared.kernels.sandbox.limits import Limits
from stages.shared.kernels.sandbox.outcome import Outcome
from tests.imports import ROOT
from tests.shared.kernels.conftest import AMPLE
from tests.shared.kernels.sandbox.restricted_host import python_without

NAMESPACES = "user namespaces: unshare: Operation not permitted"
LANDLOCK = "Landlock: landlock_create_ruleset: Function not implemented"
SECCOMP = "seccomp: prctl: Invalid argument"
FILES = "no writes outside the scratch folder, no reads of private files"
PROCESSES = "no network, no other processes"
EVERYTHING = f"no network, {FILES}, no other processes"
OVERRIDE = "set VERIFY_UNSANDBOXED=1 to run it without that protection"


@pytest.fixture(params=[()], ids=["complete"])
def host(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """A host that lacks these mechanisms; the environment and `.env` say nothing."""
    names: tuple[str, ...] = request.param
    if names:
        monkeypatch.setattr(sys, "executable", python_without(tmp_path, *names))
    monkeypatch.delenv("VERIFY_UNSANDBOXED", raising=False)
    monkeypatch.chdir(tmp_path)
    return names


@pytest.mark.parametrize("host", [(), ("namespaces",), ("Landlock",)], indirect=True)
def test_a_host_with_seccomp_and_either_of_the_others_is_enough(host: tuple[str, ...]) -> None:
    assert check() == ""


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (("namespaces", "Landlock"), f"({FILES}): {NAMESPACES}; {LANDLOCK}"),
        (("seccomp",), f"({PROCESSES}): {SECCOMP}"),
        (("namespaces", "seccomp"), f"({PROCESSES}): {NAMESPACES}; {SECCOMP}"),
        (("Landlock", "seccomp"), f"({PROCESSES}): {LANDLOCK}; {SECCOMP}"),
        (("Landlock", "namespaces", "seccomp"), f"({EVERYTHING}): {NAMESPACES}; {LANDLOCK}; {SECCOMP}"),
    ],
    indirect=["host"],
)
def test_on_a_lesser_host_one_line_says_what_is_missing(host: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match="confine") as raised:
        check()
    assert str(raised.value) == f"this host cannot confine untrusted code {message}; {OVERRIDE}"


@pytest.mark.parametrize("host", [("Landlock", "namespaces", "seccomp")], indirect=True)
def test_no_task_runs_there(host: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "file"
    with (
        ForkServer("tests.shared.kernels.sandbox.hostile_tasks") as server,
        pytest.raises(ValueError, match="cannot confine untrusted code"),
    ):
        server.run("write_outside", b"", AMPLE)
    assert not file.exists()


@pytest.mark.parametrize("host", [("Landlock", "namespaces", "seccomp")], indirect=True)
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_only_the_user_lifts_the_refusal(
    host: tuple[str, ...], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("", "0", "true"):
        monkeypatch.setenv("VERIFY_UNSANDBOXED", value)
        with pytest.raises(ValueError, match="cannot confine untrusted code"):
            check()
    if place == "environment":
        monkeypatch.setenv("VERIFY_UNSANDBOXED", "1")
    else:
        monkeypatch.delenv("VERIFY_UNSANDBOXED")
        (tmp_path / ".env").write_text("VERIFY_UNSANDBOXED=1\n")
    assert check() == f"this host cannot confine untrusted code ({EVERYTHING}): {NAMESPACES}; {LANDLOCK}; {SECCOMP}"
    with ForkServer("tests.shared.kernels.sandbox.hostile_tasks") as server:
        assert server.run("echo", b"runs", AMPLE).frames == [b"runs"]
        assert server.run("memory_bomb", b"", AMPLE).ending == "memory"


@pytest.mark.parametrize("host", [("Landlock", "namespaces", "seccomp")], indirect=True)
def test_what_an_unconfined_job_leaves_in_its_process_group_is_killed(
    host: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERIFY_UNSANDBOXED", "1")
    with ForkServer("tests.shared.kernels.sandbox.hostile_tasks") as server:
        outcome = server.run("leave_a_process", b"", AMPLE)
        assert outcome.ending == "done"
        with contextlib.suppress(psutil.NoSuchProcess):
            wait_for_the_end(psutil.Process(int(outcome.frames[0])))


def test_another_system_than_linux_is_refused(tmp_path: Path, host: tuple[str, ...]) -> None:
    pretence = "import runpy, sys; sys.platform = 'darwin'; del sys.argv[:2]"
    words = [sys.executable, "-c", f"{pretence}; runpy.run_module(sys.argv[0], run_name='__main__')"]
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    other.chmod(0o755)
    check = f"import sys; sys.executable = {str(other)!r}; from stages.shared.kernels.sandbox import host; host.check()"
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        f"ValueError: this host cannot confine untrusted code ({EVERYTHING}): sandbox: needs Linux; {OVERRIDE}"
    )


@pytest.mark.parametrize("host", [(), ("namespaces",)], indirect=True)
def test_a_job_ends_with_its_fork_server(host: tuple[str, ...]) -> None:
    brief = Limits(cpu_s=20, wall_s=1.5, memory_mb=64, output_mb=1)  # the job runs again when its fork server died
    with ForkServer("tests.shared.kernels.sandbox.hostile_tasks") as server:
        server.ready()
        assert server.process_id is not None
        started = psutil.Process(server.process_id)
        job = threading.Thread(target=server.run, args=("native_loop", b"", brief))
        job.start()
        while not (busy := [child for child in started.children(recursive=True) if child.cpu_times().user > 0.05]):
            time.sleep(0.01)
        psutil.Process(busy[0].ppid()).kill()
        wait_for_the_end(busy[0])
        job.join()


@pytest.mark.parametrize("host", [("namespaces",)], indirect=True)
def test_a_scratch_folder_behind_a_link_is_bounded_as_well(
    host: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "link"))
    with ForkServer("tests.shared.kernels.sandbox.hostile_tasks") as server:
        assert server.run("fill_mapped", b"", AMPLE).ending == "output"


@pytest.mark.parametrize("host", [(), ("namespaces",), ("Landlock",)], indirect=True)
def test_a_job_with_the_gpu_is_confined_as_well(host: tuple[str, ...], tmp_path: Path) -> None:
    gpu = Limits(cpu_s=20, wall_s=60, memory_mb=256, output_mb=16, gpu=True)
    (tmp_path / "precious").write_text("mine")
    with ForkServer("tests.shared.kernels.sandbox.hostile_tasks") as server:

        def attempts(task: str, words: list[object]) -> dict[str, str]:
            outcome = server.run(task, json.dumps(words).encode(), gpu)
            found: dict[str, str] = json.loads(outcome.frames[0])
            return found

        assert server.run("memory_bomb", b"", gpu) == Outcome([], "memory", "more than 256 MiB of memory")
        assert server.run("fork_bomb", b"", gpu).ending == "crashed"
        processes: list[object] = [os.getpid(), server.process_id]
        refused = {"EPERM", "EACCES", "ENOENT", "ENOSYS", "EROFS", "EXDEV"}
        tried: list[tuple[str, list[object]]] = [
            ("signal_others", processes),
            ("read_others", processes),
            ("open_sockets", []),
            ("write_outside", [str(tmp_path / "precious"), str(tmp_path)]),
            ("change_settings", []),
        ]
        for task, words in tried:
            assert set(attempts(task, words).values()) <= refused, task
        # A place in memory and locked pages are what a GPU needs.
        found = attempts("call_everything", [])
        assert {name for name, error in found.items() if error not in refused} <= {"mbind", "mlock"}
        own = json.loads(server.run("environment", b"", gpu).frames[1])
        assert own["self"].startswith("b'")
        assert own["1"] in {"EACCES", "ENOENT"}
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize("host", [(), ("namespaces",)], indirect=True)
def test_a_fork_server_and_its_job_end_when_the_parent_is_killed(host: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        "from tests.shared.kernels.conftest import AMPLE\n"
        "from stages.shared.kernels.sandbox.fork_server import ForkServer\n"
        "with ForkServer('tests.shared.kernels.sandbox.hostile_tasks') as server:\n"
        "    server.ready(); print(server.process_id, flush=True); server.run('native_loop', b'', AMPLE)"
    )
    folder = tmp_path / "temporary"
    folder.mkdir()
    command, env = [sys.executable, "-c", code], {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        processes = [psutil.Process(int(parent.stdout.readline()))]
        while len(processes) < (2 if host else 3):
            processes = [processes[0], *processes[0].children(recursive=True)]
        parent.kill()
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []
    assert list(folder.iterdir()) == []


def wait_for_the_end(process: psutil.Process) -> None:
    """Whoever inherits it may be slow to collect it."""
    deadline = time.monotonic() + 10
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.01)
