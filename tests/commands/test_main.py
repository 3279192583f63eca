"""`python -m stages`, which finds commands by their files."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.imports import ROOT

NAMES = sorted(file.stem for file in (ROOT / "stages" / "commands").glob("*.py") if file.stem != "__init__")


def stages(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stages", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A package `stages` with two commands, of which one cannot be imported."""
    (tmp_path / "stages" / "commands").mkdir(parents=True)
    shutil.copy(ROOT / "stages" / "__main__.py", tmp_path / "stages")
    for file in ("stages/__init__.py", "stages/commands/__init__.py"):
        (tmp_path / file).touch()
    (tmp_path / "stages/commands/greet.py").write_text(
        '"""Say hello.\n\nMore.\n"""\n\n'
        "def main(words):\n"
        "    if words == ['nobody']:\n"
        "        raise ValueError('nobody is there,\\nso there is no hello')\n"
        "    print('hello', *words)\n"
    )
    (tmp_path / "stages/commands/broken.py").write_text('"""Break."""\n\nimport nothing_of_this_name\n')
    return tmp_path


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_commands_are_listed_with_the_first_lines_of_their_docstrings(folder: Path, words: list[str]) -> None:
    done = stages(folder, *words)

    assert (done.returncode, done.stdout) == (
        0,
        "usage: python -m stages COMMAND ...\n\n  broken  Break.\n  greet   Say hello.\n\nCOMMAND --help says more.\n",
    )


def test_the_words_after_the_name_go_to_the_command(folder: Path) -> None:
    assert stages(folder, "greet", "--loud", "you").stdout == "hello --loud you\n"


def test_an_unknown_command_is_named_with_those_that_there_are(folder: Path) -> None:
    done = stages(folder, "gret")

    assert (done.returncode, done.stderr) == (1, "stages: no command 'gret'; there are broken, greet\n")


def test_what_a_user_can_act_on_is_one_line(folder: Path) -> None:
    done = stages(folder, "greet", "nobody")

    assert (done.returncode, done.stderr) == (1, "greet: nobody is there, so there is no hello\n")


def test_every_command_of_the_project_has_a_line_and_help() -> None:
    listed = stages(ROOT, "--help").stdout

    for name in NAMES:
        assert f"  {name} " in listed
        done = stages(ROOT, name, "--help")
        assert (done.returncode, done.stdout.split()[:5]) == (0, ["usage:", "python", "-m", "stages", name])
