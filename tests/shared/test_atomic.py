import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stages.shared.atomic import replacing

ROOT = Path(__file__).parents[2]


def test_what_is_written_takes_the_name(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"

    with replacing(target) as partial:
        partial.write_text("whole")
        assert not target.exists()

    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def write_half(target: Path, error: BaseException) -> None:
    with replacing(target) as partial:
        partial.write_text("half")
        raise error


def write_half_folder(target: Path, error: BaseException) -> None:
    with replacing(target) as partial:
        partial.mkdir()
        (partial / "new.parquet").write_text("new")
        raise error


def test_a_failing_body_leaves_the_existing_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    with pytest.raises(ValueError, match=r"^stop$"):
        write_half(target, ValueError("stop"))

    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupted_body_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "a.txt", KeyboardInterrupt())

    assert list(tmp_path.iterdir()) == []


def test_a_body_that_writes_nothing_fails(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.txt"):
        pass

    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    target.mkdir()
    (target / "old.parquet").write_text("old")

    with replacing(target) as partial:
        (partial / "data").mkdir(parents=True)
        (partial / "data" / "new.parquet").write_text("new")

    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "dataset",
        "dataset/data",
        "dataset/data/new.parquet",
    ]


def test_a_failing_folder_leaves_the_existing_folder(tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    target.mkdir()
    (target / "old.parquet").write_text("old")

    with pytest.raises(OSError, match=r"^disk full$"):
        write_half_folder(target, OSError("disk full"))

    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "dataset",
        "dataset/old.parquet",
    ]


def test_a_killed_writer_never_shows_a_half_file_and_the_next_one_sweeps_up_after_it(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    code = (
        "import sys; from pathlib import Path; from stages.shared.atomic import replacing\n"
        "with replacing(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half'); print(flush=True); sys.stdin.read()\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, target], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()

    assert target.read_text() == "old"

    with replacing(target) as partial:
        partial.write_text("new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]
