"""The parent's side of a fork server: start it, give it a job, take what the job sends, end it in time."""

import contextlib
import dataclasses
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stages.shared.kernels.sandbox import guarantee, scratch, zygote
from stages.shared.kernels.sandbox.confinement import Mechanisms
from stages.shared.kernels.sandbox.frames import FrameReader
from stages.shared.kernels.sandbox.limits import MEBIBYTE, Limits
from stages.shared.kernels.sandbox.outcome import Ending, Outcome, ending_of
from stages.shared.settings import project_root

_ROOT = Path(__file__).parents[4]
_WARM_S, _REAP_S, _STOP_S, _REMOVE_S = 600.0, 30.0, 1.0, 10.0
_PROBE = Limits(cpu_s=10, wall_s=60, memory_mb=64, output_mb=1)
_PASSED_ON = ("LD_LIBRARY_PATH", "TZ")


class ForkServer:
    """A warmed process that forks a confined child for every job, one at a time. A context manager.

    It ends with its parent, because it waits at the other end of a socket: the kernel's signal for a dead parent
    (PR_SET_PDEATHSIG), which the children use, would come when the thread that started it ends.
    """

    def __init__(self, tasks: str, *, environment: Mapping[str, str] | None = None) -> None:
        """`tasks` is a module with `warm()` and `TASKS`; `environment` is added to the clean one that it starts with.

        A task is called with the payload and a function that sends a frame. What `warm()` imported is there, other
        modules come from the interpreter's own folders only: the project's files cannot be read any more.
        """
        self._tasks = tasks
        self._environment = dict(environment or {})
        self._gpu = False
        self.gap = ""
        """What is not guaranteed, where the user lifted the refusal; known when it is ready."""
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._ended = False
        self._stopping = threading.Lock()

    def __enter__(self) -> Self:
        """Start to warm up, without waiting for it."""
        self._ended = False
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, and whatever job another thread runs in it, which raises there."""
        self._ended = True
        self._stop()

    @property
    def process_id(self) -> int | None:
        """The process that was started; none when it was stopped."""
        return None if self._process is None else self._process.pid

    def ready(self) -> None:
        """Wait until it is warm and has shown that its jobs are confined; start it when it died.

        Raises:
            ValueError: this host cannot confine them, or `warm()` raised one; its message.
            RuntimeError: it did not start, a job could not be confined, or it was ended.
        """
        if self._ended:
            raise RuntimeError(f"{self._tasks}: the fork server was ended")
        if self._process is None or self._process.poll() is not None:
            self._stop()
            self._start()
        if self._ready:
            return
        try:
            mechanisms = self._greeting()
            self.gap = guarantee.gap(mechanisms, self._probe())
            guarantee.require(self.gap)
            if mechanisms.namespaces:
                _remove(self._folder)  # its folders are in memory now, and nothing is left of it when this is killed
        except BaseException:
            self._stop()
            raise
        self._ready = True

    def run(self, task: str, payload: bytes, limits: Limits) -> Outcome:
        """Run `TASKS[task](payload, send)` in a child of its own.

        When the fork server dies meanwhile, which no job can bring about, a new one runs the job again.

        Raises:
            ValueError: as `ready`.
            RuntimeError: as `ready`, or it died twice, or the job did not get to its task.
        """
        if limits.gpu != self._gpu:
            self._stop()
            self._gpu = limits.gpu
        for _ in range(2):
            self.ready()
            try:
                outcome = self._run(task, payload, limits)
            except BaseException:
                self._stop()  # a job may still run in it
                raise
            if outcome is not None:
                return outcome
        raise RuntimeError(f"{self._tasks}: the fork server died twice during {task}")

    def _greeting(self) -> Mechanisms:
        said = self._hear(_WARM_S)
        if said is None:
            assert self._process is not None
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_S)
            wrote = (self._folder / "stderr").read_text(errors="replace").strip()[-4096:]
            raise RuntimeError(f"{self._tasks}: the fork server did not start: {wrote}")
        if "refused" in said:
            raise ValueError(said["refused"])
        return Mechanisms(**said["mechanisms"])

    def _probe(self) -> list[str]:
        words = {"outside": str(self._folder), "memory_mb": _PROBE.memory_mb}
        outcome = self._run("probe", json.dumps(words).encode(), _PROBE)
        if outcome is None or outcome.ending != "done":
            raise RuntimeError(f"{self._tasks}: the sandbox cannot be probed: {outcome}")
        return [frame.decode() for frame in outcome.frames]

    def _run(self, task: str, payload: bytes, limits: Limits) -> Outcome | None:
        deadline = time.monotonic() + limits.wall_s
        reader = FrameReader(limits.output_mb * MEBIBYTE)
        job = {"task": task, "payload": len(payload), "limits": dataclasses.asdict(limits)}
        channel, theirs = socket.socketpair()
        with channel:
            channel.settimeout(0)
            with theirs, contextlib.suppress(OSError):
                socket.send_fds(self._control, [json.dumps(job).encode() + b"\n"], [theirs.fileno()])
            reason = self._attend(channel, memoryview(payload), reader, deadline)
            if reason is not None:
                with contextlib.suppress(OSError):
                    self._control.sendall(b'"kill"\n')
            ended = self._hear(_REAP_S)
            while reader.fault is None and _take(channel, reader):
                pass
        if ended is None:
            self._stop()
            return None if reason is None else Outcome(reader.frames, *reason, reader.times)
        return Outcome(reader.frames, *(reason or ending_of(ended, reader, limits)), reader.times)

    def _attend(
        self, channel: socket.socket, rest: memoryview, reader: FrameReader, deadline: float
    ) -> tuple[Ending, str] | None:
        """Send the payload and take frames until the job ended; else why it is to be killed."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(channel, selectors.EVENT_READ | (selectors.EVENT_WRITE if rest else 0))
            while (left := deadline - time.monotonic()) > 0:
                for key, events in selector.select(left):
                    if key.fileobj is self._control:
                        return None
                    if events & selectors.EVENT_WRITE:
                        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                            rest = rest[channel.send(rest) :]
                            if not rest:
                                selector.modify(channel, selectors.EVENT_READ)
                    if events & selectors.EVENT_READ and not _take(channel, reader):
                        selector.unregister(channel)
                    if reader.fault is not None:
                        return "output", reader.fault
        return "timeout", "wall clock"

    def _start(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="kernels-"))
        home = self._folder / "scratch"
        for folder in (home, self._folder / "root"):
            folder.mkdir()
        clean = {"PATH": os.defpath, "HOME": str(home), "TMPDIR": str(home), "USER": "nobody", "LC_ALL": "C.UTF-8"}
        clean |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        clean |= {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        command = [sys.executable, "-m", zygote.__name__, "--tasks", self._tasks]
        command += ["--folder", str(self._folder), "--private", *_private(), *(["--gpu"] if self._gpu else [])]
        self._control, theirs = socket.socketpair()
        with theirs, (self._folder / "stderr").open("wb") as stderr:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, a module of this project
                [*command, "--control", str(theirs.fileno())],
                cwd=_ROOT,
                env=clean | self._environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        self._ready = False
        self._heard = b""

    def _stop(self) -> None:
        with self._stopping:
            if self._process is None:
                return
            with contextlib.suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for it
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._control.close()
            self._process = None
            _remove(self._folder)

    def _hear(self, patience_s: float) -> dict[str, Any] | None:
        """The next line of the fork server; none when it died, or says nothing for so long."""
        self._control.settimeout(patience_s)
        try:
            while b"\n" not in self._heard:
                if not (piece := self._control.recv(1 << 16)):
                    return None
                self._heard += piece
        except OSError:
            return None
        line, _, self._heard = self._heard.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said


def _private() -> list[str]:
    """Folders that are no part of the interpreter, even if it searches them for modules."""
    folders = {_ROOT, project_root().resolve(), Path.home() if "HOME" in os.environ else _ROOT}
    return sorted(map(str, folders))


def _remove(folder: Path) -> None:
    """Remove the folder of a fork server that ended; a job of it may have a moment to live, and write there."""
    deadline = time.monotonic() + _REMOVE_S
    while folder.exists():
        try:
            scratch.empty(folder)
            folder.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _take(channel: socket.socket, reader: FrameReader) -> bool:
    """Give the reader what lies in the channel; whether more can come."""
    try:
        piece = channel.recv(MEBIBYTE)
    except (BlockingIOError, ConnectionResetError):
        return False
    reader.feed(piece)
    return bool(piece)
