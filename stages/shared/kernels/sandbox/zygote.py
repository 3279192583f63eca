"""The fork server's own process: imports the tasks once, then forks a child for every job.

    python -m stages.shared.kernels.sandbox.zygote --tasks MODULE --control FD --folder FOLDER
        --private FOLDER ... [--gpu]

It reads one line of JSON per job from the control socket, with the job's channel as a passed descriptor, and answers
with a line: how it is confined once it is warm, then how each job ended. The end of the control socket is its own end.
"""

import argparse
import contextlib
import dataclasses
import gc
import importlib
import json
import os
import resource
import select
import shutil
import signal
import socket
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from stages.shared.kernels.sandbox import confinement, frames, namespaces, probes, readable, scratch
from stages.shared.kernels.sandbox.confinement import Mechanisms, Place
from stages.shared.kernels.sandbox.limits import MEBIBYTE, SCRATCH_FILES, SCRATCH_MB, THREADS, Limits

Task = Callable[[bytes, Callable[[bytes], None]], None]

_LOOK_S = 0.02
_THOROUGH = 10
"""Of so many looks one takes longer and sees more."""
_CHANNEL = 3
_TRACE = 4096
_COUNT_OF_THREADS, _ADDRESS_SPACE, _RESIDENT_PAGES = 20 - 3, 23 - 3, 24 - 3


class Zygote:
    """Forks, watches and ends jobs, one at a time."""

    def __init__(
        self,
        control: socket.socket,
        tasks: Mapping[str, Task],
        place: Place,
        mechanisms: Mechanisms,
        processes: int | None,
    ) -> None:
        """`processes` is a descriptor of /proc, where there is one."""
        self._control = control
        self._tasks = tasks
        self._place = place
        self._mechanisms = mechanisms
        self._processes = processes
        self._pid = os.getpid()
        self._deaths, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def serve(self) -> None:
        """Run jobs until the parent closes the control socket."""
        while True:
            asked, channels, _, _ = socket.recv_fds(self._control, 1 << 16, 1)
            if not asked:
                return
            if not channels:
                continue  # "kill" came when the job had ended by itself
            job = json.loads(asked.splitlines()[-1])
            with scratch.fresh(self._place.scratch, mount=self._mechanisms.namespaces):
                ended = self._run(channels[0], job["task"], job["payload"], Limits(**job["limits"]))
            self._control.sendall(json.dumps(ended).encode() + b"\n")

    def _run(self, channel: int, task: str, size: int, limits: Limits) -> dict[str, Any]:
        mapped = int(self._stat("self")[_ADDRESS_SPACE]) if self._processes is not None else 0
        pid = os.fork()
        if pid == 0:
            self._work(channel, task, size, limits, mapped)
        os.close(channel)
        status, usage, limit = self._watch(pid, limits)
        return {"status": status, "cpu_s": usage.ru_utime + usage.ru_stime, "limit": limit}

    def _watch(self, pid: int, limits: Limits) -> tuple[int, resource.struct_rusage, tuple[str, str] | None]:
        """The job's wait status and use of resources, and the limit that it passed and was killed for."""
        limit: tuple[str, str] | None = None
        looked, looks, killed = time.monotonic(), 0, False
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | (0 if killed else os.WNOHANG)) is None:
            heard, _, _ = select.select([self._control.fileno(), self._deaths], [], [], _LOOK_S)
            if self._deaths in heard:
                os.read(self._deaths, 1 << 16)  # also a job that stops and goes on can write there, without end
            if time.monotonic() - looked >= _LOOK_S:
                looks += 1
                limit, looked = self._passed(pid, limits, thorough=looks % _THOROUGH == 0), time.monotonic()
            if limit is not None or self._control.fileno() in heard:
                os.kill(pid, signal.SIGKILL)
                killed = True
        # Without seccomp a job can leave processes behind. Its group is its own until it is waited for; one that was
        # killed before it began has none.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        return status, usage, limit

    def _passed(self, pid: int, limits: Limits, *, thorough: bool) -> tuple[str, str] | None:
        """The limit that the job passed, of those that the kernel does not keep, and what it counts as."""
        if self._processes is None:
            return None
        fields = self._stat(str(pid))
        if int(fields[_COUNT_OF_THREADS]) > THREADS:
            return "memory", f"more than {THREADS} threads"
        if limits.gpu and int(fields[_RESIDENT_PAGES]) * resource.getpagesize() > limits.memory_mb * MEBIBYTE:
            return "memory", f"more than {limits.memory_mb} MiB of memory"
        if self._mechanisms.namespaces or not scratch.overfull(
            self._place.scratch, str(pid), self._processes, mapped=thorough
        ):
            return None
        return "output", f"more than {SCRATCH_MB} MiB or {SCRATCH_FILES} files in the scratch folder"

    def _stat(self, pid: str) -> list[str]:
        """The fields of /proc/<pid>/stat from the third on, which follows the name; proc_pid_stat(5)."""
        descriptor = os.open(f"{pid}/stat", os.O_RDONLY, dir_fd=self._processes)
        try:
            return os.read(descriptor, 4096).decode(errors="replace").rpartition(")")[2].split()
        finally:
            os.close(descriptor)

    def _work(self, channel: int, task: str, size: int, limits: Limits, mapped: int) -> NoReturn:
        """A job's whole life."""
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self._offer_to_the_oom_killer()
            _keep_only(channel)
            os.chdir(self._place.scratch)
            confinement.confine(self._mechanisms, self._place, limits, mapped, self._pid)
            payload, run = frames.read_exactly(_CHANNEL, size), self._tasks[task]
            frames.write(_CHANNEL, frames.pack("started", b""))
            run(payload, lambda content: frames.write(_CHANNEL, frames.pack("frame", content)))
            frames.write(_CHANNEL, frames.pack("done", b""))
            os._exit(0)
        except SystemExit as wish:
            os._exit(wish.code if isinstance(wish.code, int) else 1)
        except MemoryError:
            frames.write(_CHANNEL, frames.pack("memory", b"MemoryError"))
        except BaseException:  # noqa: BLE001 - whatever else is raised is the outcome
            frames.write(_CHANNEL, frames.pack("raised", traceback.format_exc().encode(errors="replace")[-_TRACE:]))
        finally:
            os._exit(1)

    def _offer_to_the_oom_killer(self) -> None:
        if self._processes is not None:
            descriptor = os.open("self/oom_score_adj", os.O_WRONLY, dir_fd=self._processes)
            os.write(descriptor, b"1000")
            os.close(descriptor)


def _keep_only(channel: int) -> None:
    """Leave three descriptors of nothing, and the channel as the fourth."""
    nothing = os.open(os.devnull, os.O_RDWR)
    channel = os.dup(channel)
    for standard in range(_CHANNEL):
        os.dup2(nothing, standard)
    os.dup2(channel, _CHANNEL)
    os.closerange(_CHANNEL + 1, 1 << 20)


def main() -> None:
    """Find out what the host has, import, warm up, close the root, serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--private", required=True, type=Path, nargs="+")
    parser.add_argument("--control", required=True, type=int)
    parser.add_argument("--gpu", action="store_true")
    words = parser.parse_args()
    place = Place(words.folder, readable.files(words.private, gpu=words.gpu), readable.devices(gpu=words.gpu))
    mechanisms = confinement.found(place)
    processes = None
    if mechanisms.namespaces:
        namespaces.enter()
        processes = namespaces.own_processes(place.root)
    elif Path("/proc/self").exists():
        processes = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    with socket.socket(fileno=words.control) as control:
        try:
            tasks = importlib.import_module(words.tasks)
            tasks.warm()
        except ValueError as error:
            control.sendall(json.dumps({"refused": str(error)}).encode() + b"\n")
            return
        if mechanisms.namespaces:
            confinement.close(place)
        gc.collect()
        gc.freeze()  # a collection in a job would copy every page that holds an object
        control.sendall(json.dumps({"mechanisms": dataclasses.asdict(mechanisms)}).encode() + b"\n")
        with contextlib.suppress(BrokenPipeError):
            Zygote(control, {**tasks.TASKS, **probes.TASKS}, place, mechanisms, processes).serve()
    if not mechanisms.namespaces:
        shutil.rmtree(place.folder, ignore_errors=True)  # the parent does it, unless it was killed
    os._exit(0)  # there is nothing else to tidy, and torch takes its time


if __name__ == "__main__":
    main()
