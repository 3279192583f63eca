import contextlib
import json
import os
import signal
import tempfile
from pathlib import Path

import pytest

from stages.shared.kernels.sandbox.fork_server import ForkServer
from stages.shared.kernels.sandbox.limits import SCRATCH_FILES, SCRATCH_MB, Limits
from tests.imports import ROOT
from tests.shared.kernels.conftest import AMPLE

REFUSED = {"EPERM", "EACCES", "ENOENT", "ENOSYS", "EROFS", "EXDEV"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_of_the_user_and_of_the_project_cannot_be_read(hostile: ForkServer, precious: Path) -> None:
    secrets = [
        precious,
        ROOT / "pyproject.toml",
        ROOT / "stages" / "verify.py",
        Path.home() / ".bashrc",
        Path("/etc/passwd"),
    ]
    outcome = hostile.run("read_secrets", json.dumps([str(path) for path in secrets]).encode(), AMPLE)
    attempts = json.loads(outcome.frames[0])
    assert outcome.ending == "done"
    assert len(attempts) == 10 * len(secrets)
    for attempt, answer in attempts.items():
        # Without Landlock a folder can be listed, but has nothing in it except what may be read.
        assert answer in REFUSED or (attempt.startswith("list ") and not any(path.name in answer for path in secrets))


def test_nothing_outside_of_the_scratch_folder_can_be_changed(hostile: ForkServer, precious: Path) -> None:
    folders = {precious.parent, ROOT, Path(tempfile.gettempdir()), Path.home(), Path("/usr/lib"), Path("/dev/shm")}
    before = precious.stat()
    outcome = hostile.run("write_outside", json.dumps([str(precious), *map(str, folders)]).encode(), AMPLE)
    attempts = json.loads(outcome.frames[0])
    assert outcome.ending == "done"
    assert len(attempts) == 18 + 5 * len(folders)
    assert set(attempts.values()) <= REFUSED
    assert precious.read_text() == "sk-secret-0123456789"
    after = precious.stat()
    for field in ("st_mode", "st_uid", "st_mtime", "st_ctime", "st_nlink"):
        assert getattr(after, field) == getattr(before, field)
    assert names(precious.parent) == ["precious"]
    assert [folder for folder in folders if os.path.lexists(folder / "new")] == []


def test_settings_of_the_kernel_cannot_be_changed(hostile: ForkServer) -> None:
    attempts = json.loads(hostile.run("change_settings", b"", AMPLE).frames[0])
    assert len(attempts) == 4
    assert set(attempts.values()) <= REFUSED


def test_the_disk_cannot_be_filled(hostile: ForkServer, lacking: str) -> None:
    outcome = hostile.run("fill", b"", AMPLE)
    if lacking == "namespaces":
        assert (outcome.frames, outcome.ending) == ([], "output")
        assert outcome.detail == f"more than {SCRATCH_MB} MiB or {SCRATCH_FILES} files in the scratch folder"
    else:
        assert outcome.ending == "done"
        assert SCRATCH_MB - 2 <= int(outcome.frames[0]) <= SCRATCH_MB


def test_the_disk_cannot_be_filled_with_files_that_have_no_name(hostile: ForkServer, lacking: str) -> None:
    outcome = hostile.run("fill_unnamed", b"", AMPLE)
    if lacking == "namespaces":
        assert (outcome.frames, outcome.ending) == ([], "output")
    else:
        assert outcome.ending == "done"
        assert SCRATCH_MB - 4 <= int(outcome.frames[0]) <= SCRATCH_MB


def test_the_disk_cannot_be_filled_with_files_that_are_only_mapped(hostile: ForkServer, lacking: str) -> None:
    outcome = hostile.run("fill_mapped", b"", AMPLE)
    assert outcome.ending == ("output" if lacking == "namespaces" else "crashed")


def test_the_disk_cannot_be_reserved(hostile: ForkServer) -> None:
    assert hostile.run("reserve", b"", AMPLE).frames == [b'{"fallocate": "EPERM"}']


def test_a_file_cannot_be_larger_than_the_scratch_folder(hostile: ForkServer) -> None:
    outcome = hostile.run("fill_one", b"", AMPLE)
    assert outcome.ending == "crashed"
    assert "File too large" in outcome.detail


def test_a_hundred_thousand_files_are_too_many_and_none_is_left(hostile: ForkServer, lacking: str) -> None:
    outcome = hostile.run("fill_with_names", b"", AMPLE)
    if lacking == "namespaces":
        assert (outcome.frames, outcome.ending) == ([], "output")
    else:
        assert outcome.ending == "done"
        assert SCRATCH_FILES - 4 <= int(outcome.frames[0]) <= SCRATCH_FILES


def test_traps_in_the_scratch_folder_are_removed_and_lead_nowhere(hostile: ForkServer, precious: Path) -> None:
    outcome = hostile.run("booby_trap", bytes(precious.parent), AMPLE)
    assert set(json.loads(outcome.frames[0]).values()) <= {"EPERM", "ENOTTY"}
    assert outcome.ending in {"done", "output"}
    assert names(precious.parent) == ["precious"]
    assert precious.read_text() == "sk-secret-0123456789"


def test_a_killed_job_leaves_nothing_in_the_scratch_folder(hostile: ForkServer) -> None:
    outcome = hostile.run("leave_files_and_sleep", b"", Limits(cpu_s=5, wall_s=0.3, memory_mb=64, output_mb=1))
    assert (outcome.frames, outcome.ending) == ([b"left"], "timeout")


@pytest.mark.parametrize("ending", ["stopped", "killed"])
def test_the_folder_of_a_fork_server_goes_with_it(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ForkServer("tests.shared.kernels.sandbox.hostile_tasks"))
        server.run("booby_trap", os.fsencode(tmp_path), AMPLE)
        if ending == "killed":
            assert server.process_id is not None
            os.kill(server.process_id, signal.SIGKILL)
    assert names(tmp_path) == []
