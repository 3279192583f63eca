"""Give an answer its verdict: run the module and the answer in children of fork servers, decide in this process."""

import os
import platform
import queue
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from stages.shared.code.code_hash import code_hash
from stages.shared.kernels.assessment import assess, mode_of
from stages.shared.kernels.failures import explain
from stages.shared.kernels.gpu import gpu_environment, gpu_name
from stages.shared.kernels.reports import CASES, Case, Expected, Setting, Subject, Task, Unusable, pack, read
from stages.shared.kernels.sandbox.fork_server import ForkServer
from stages.shared.kernels.sandbox.limits import MEBIBYTE, Limits
from stages.shared.kernels.sandbox.outcome import Outcome
from stages.shared.kernels.static import WRAPPER, Inspection, entry_names, inspect_answer
from stages.shared.kernels.tensors import Tensor, leaves
from stages.shared.kernels.timekeeper import Timekeeper, with_time
from stages.shared.kernels.timing_reports import TimingTask
from stages.shared.kernels.told import Module, Told, clean
from stages.shared.kernels.verdict import Job, Judgement, Mode

_ROOT = Path(__file__).parents[3]
_INSPECTED = [Path("stages/shared/code", name) for name in ("reachable.py", "syntax.py", "torch_ops.py")]
_MEMORY_MB, _MOST_OUTPUT_MB, _LEAST_OUTPUT_MB = 4096, 512, 16
_KEPT_BYTES = 64 << 20
"""Of the results of modules."""
TASKS = {"interpret": "stages.shared.kernels.interpret_tasks", "cuda": "stages.shared.kernels.cuda_tasks"}
"""What runs modules and answers, by mode."""


class _Servers(NamedTuple):
    """Of one worker."""

    runs: ForkServer
    compiles: ForkServer


class Judge:
    """Judges answers; a context manager. As many threads as `workers` may call `judge` at a time."""

    def __init__(self, mode: Mode, timeout_s: float, workers: int | None = None) -> None:
        """Nothing is started yet.

        Args:
            mode: where answers run.
            timeout_s: the CPU time of an answer, all its runs together, and of the module; in seconds.
            workers: at most; by default one for each core, or, as there is one GPU, two in mode `cuda`.

        Raises:
            ValueError: torch, triton or the GPU is missing.
        """
        self.versions = versions(mode)
        most = len(os.sched_getaffinity(0)) if mode == "interpret" else 2
        self.workers = min(workers or most, most)
        self._mode = mode
        self._limits = Limits(timeout_s, 4 * timeout_s + 60, _MEMORY_MB, _MOST_OUTPUT_MB)
        self._run_limits = replace(self._limits, gpu=mode == "cuda")
        # What else runs on the GPU would be part of what is timed.
        self._alone: AbstractContextManager[object] = threading.Lock() if mode == "cuda" else nullcontext()
        self._timekeeper = Timekeeper()
        self._idle: queue.SimpleQueue[_Servers] = queue.SimpleQueue()
        self._modules: OrderedDict[Subject, Module | str] = OrderedDict()
        self._lock = threading.Lock()
        self._servers_started = ExitStack()
        self._unstarted = self.workers

    def __enter__(self) -> Self:
        """Start the fork servers of one worker; those of others start when they are wanted.

        Raises:
            ValueError: the installed versions give wrong results, or answers cannot be confined here.
        """
        try:
            first = self._start()
            first.runs.ready()
            first.compiles.ready()
        except BaseException:
            self._servers_started.close()
            raise
        self._idle.put(first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the fork servers, and whatever runs in them: `judge` raises in the threads that wait for it."""
        with self._lock:
            self._unstarted = 0
        self._servers_started.close()

    def judge(self, job: Job) -> Judgement:
        """Judge one answer.

        Raises:
            RuntimeError: a fork server could not be kept running; this says nothing of the answer.
        """
        inspection = inspect_answer(job.answer, job.entry_point, job.module_name)
        if inspection.verdict == "wrong":
            return _not_run(inspection, inspection.detail)
        assert job.answer is not None
        subject = Subject(job.python_code, job.entry_point, job.module_name)
        with self._servers() as servers:
            module = self._module(subject, servers.runs)
            if isinstance(module, str):
                return _not_run(inspection, module)
            names = [*entry_names(job.entry_point, job.module_name), WRAPPER]
            task = pack(Task(subject, module.setting, job.answer, names))
            with self._alone:
                told = _told(servers.runs.run("answer", task, self._limits_of_answer(module)))
            compiled = self._compiled(servers.compiles, task, told)
            judgement = assess(inspection, module, told, compiled)
            if self._mode == "cuda" and judgement.verdict == "ok":
                mode = mode_of(module, told)
                timing = TimingTask(subject, module.setting, mode, job.answer, names, seeds=[], shown=[], budget_s=0.0)
                with self._alone:
                    return with_time(judgement, self._timekeeper.time(servers.runs, timing, self._run_limits))
        return judgement

    def _limits_of_answer(self, module: Module) -> Limits:
        """Room for as many results as the module's in every case, of twice the bytes: the rest is no honest answer."""
        size = max(map(_output_size, module.expected.values()))
        wanted = 2 * (len(CASES) + 1) * size // MEBIBYTE + _LEAST_OUTPUT_MB
        return replace(self._run_limits, output_mb=min(wanted, _MOST_OUTPUT_MB))

    def _compiled(self, server: ForkServer, task: bytes, told: Told) -> Told | None:
        """What the compiler says of the kernels; where the runs did not end, this is not waited for as long."""
        if told.launches:
            return _told(server.run("compile", task, self._limits))
        if told.ending in {"timeout", "memory"}:
            return _told(server.run("compile", task, replace(self._limits, cpu_s=self._limits.cpu_s / 4)))
        return None

    def _start(self) -> _Servers:
        interpreted = {"TRITON_INTERPRET": "1"}
        environment = gpu_environment(os.environ) if self._mode == "cuda" else interpreted
        servers = _Servers(
            ForkServer(TASKS[self._mode], environment=environment), ForkServer("stages.shared.kernels.compile_tasks")
        )
        self._unstarted -= 1
        for server in servers:
            self._servers_started.enter_context(server)
        return servers

    @contextmanager
    def _servers(self) -> Iterator[_Servers]:
        with self._lock:
            taken = self._start() if self._idle.empty() and self._unstarted > 0 else None
        taken = taken or self._idle.get()
        try:
            yield taken
        finally:
            self._idle.put(taken)

    def _module(self, subject: Subject, server: ForkServer) -> Module | str:
        """How the module behaves, or why no answer to it can be judged; of the modules seen last it is kept."""
        with self._lock:
            if subject in self._modules:
                self._modules.move_to_end(subject)
                return self._modules[subject]
        with self._alone:
            found = _module(server.run("reference", pack(subject), self._run_limits))
        with self._lock:
            self._modules[subject] = found
            while sum(map(_size, self._modules.values())) > _KEPT_BYTES:
                self._modules.popitem(last=False)
        return found


def _not_run(inspection: Inspection, detail: str | None) -> Judgement:
    """The judgement of an answer of which only the syntax tree was looked at."""
    return Judgement(
        verdict=inspection.verdict,
        has_kernel=inspection.has_kernel,
        launches=None,
        compiles=None,
        correct=None,
        flags=inspection.flags,
        torch_ops=inspection.torch_ops,
        detail=detail,
    )


def _module(outcome: Outcome) -> Module | str:
    reports = read(outcome.frames)
    unusable = next((report for report in reports if isinstance(report, Unusable)), None)
    if unusable:
        return explain("reference", clean(unusable.text))
    settings = [report for report in reports if isinstance(report, Setting)]
    expected = {(report.case, report.evaluation): report for report in reports if isinstance(report, Expected)}
    wanted: list[tuple[Case, bool]] = [
        (case, mode) for setting in settings for mode in setting.evaluation for case in ("first", "again", "second")
    ]
    if not settings or any(key not in expected for key in wanted):
        return explain("reference", f"{outcome.ending}: {clean(outcome.detail)}")
    return Module(settings[0], expected)


def _size(module: Module | str) -> int:
    """Bytes that are kept of a module; a little for what is no tensor."""
    return 4096 + sum(map(_output_size, [] if isinstance(module, str) else module.expected.values()))


def _output_size(result: Expected) -> int:
    return sum(len(leaf.data) for leaf in leaves(result.output) if isinstance(leaf, Tensor))


def _told(outcome: Outcome) -> Told:
    reports = read(outcome.frames)
    return Told(reports, outcome.ending, outcome.detail, whole=len(reports) == len(outcome.frames))


@cache
def versions(mode: Mode) -> dict[str, str]:
    """What a judgement depends on besides the job. Nothing heavy is imported.

    Raises:
        ValueError: a package is missing, or this is no Linux, or has no GPU for mode `cuda`.
    """
    if platform.system() != "Linux":
        raise ValueError(f"mode {mode} needs Linux: triton is not there for {platform.system()}")
    try:
        found = {name: version(name) for name in ("torch", "triton", "numpy")}
    except PackageNotFoundError as error:
        raise ValueError(f"mode {mode} needs {error.name}: uv sync --extra verify") from None
    if mode == "cuda":
        found["gpu"] = gpu_name(os.environ)
    files = sorted([*Path(__file__).parent.rglob("*.py"), *(_ROOT / file for file in _INSPECTED)])
    codes = [f"{file.name} {code_hash(file.read_text())}" for file in files if file.name != "judgements.py"]
    return {"engine": sha256("\n".join(codes).encode()).hexdigest()[:16], **found}
