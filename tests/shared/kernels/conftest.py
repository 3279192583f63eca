"""A fork server whose tasks are probes, on hosts that have every mechanism of the sandbox or lack one."""

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stages.shared.kernels.judge import Judge
from stages.shared.kernels.sandbox.fork_server import ForkServer
from stages.shared.kernels.sandbox.limits import Limits
from tests.shared.kernels.sandbox import hostile_tasks
from tests.shared.kernels.sandbox.restricted_host import python_without

AMPLE = Limits(cpu_s=20, wall_s=60, memory_mb=256, output_mb=16)


@pytest.fixture(scope="module", params=["", "namespaces", "Landlock"], ids=["all", "no namespaces", "no Landlock"])
def lacking(request: pytest.FixtureRequest) -> str:
    """The mechanism that the host lacks."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def hostile_server(lacking: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    with pytest.MonkeyPatch.context() as patch:
        if lacking:
            patch.setattr(sys, "executable", python_without(tmp_path_factory.mktemp("bin"), lacking))
        patch.setenv("SECRET", "sk-secret-0123456789")
        with ForkServer(hostile_tasks.__name__) as server:
            server.ready()
            yield server


@pytest.fixture
def hostile(hostile_server: ForkServer) -> Iterator[ForkServer]:
    """The server; whatever a test did with it, the same process serves on, alone, with an empty scratch folder."""
    processes = _processes(hostile_server)
    yield hostile_server
    outcome = hostile_server.run("use_scratch", b"", AMPLE)
    assert outcome.frames == [b'[[], true, "text", ["folder", "moved"]]']
    assert _processes(hostile_server) == processes


def _processes(server: ForkServer) -> list[int]:
    """The server's and its descendants' ids."""
    assert server.process_id is not None
    process = psutil.Process(server.process_id)
    return [process.pid, *(child.pid for child in process.children(recursive=True))]


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file of the user's."""
    folder = tmp_path / "home"
    folder.mkdir()
    file = folder / "precious"
    file.write_text("sk-secret-0123456789")
    return file


@pytest.fixture(scope="session")
def judging() -> Iterator[Judge]:
    """Judges answers as mode `interpret` does."""
    with Judge("interpret", 60.0) as judge:
        yield judge
