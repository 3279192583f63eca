"""The entries that the README says to paste: its own commands put them into the params file, and they are valid."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stages.rollout.rollout_params import Rollouts
from stages.shared.stage import read_section
from tests.imports import ROOT

COMMANDS = re.findall(r"^sed -i.bak .*?^EOF$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def test_there_is_one_for_a_gpu_one_for_a_node_and_one_for_an_api() -> None:
    assert len(COMMANDS) == 3


@pytest.mark.parametrize("command", COMMANDS)
def test_an_entry_of_the_readme_is_valid(command: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    subprocess.run(["sh", "-e", "-c", command], cwd=tmp_path, check=True)

    [entry] = read_section("rollouts", Rollouts, tmp_path / "params.yaml").root.values()
    assert entry.limit == 20
    assert entry.serve == ("managed" if entry.provider == "vllm" else "external")


def test_the_entries_of_the_readme_can_stand_beside_each_other(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    for command in COMMANDS:
        subprocess.run(["sh", "-e", "-c", command], cwd=tmp_path, check=True)
    assert list(read_section("rollouts", Rollouts, tmp_path / "params.yaml").root) == ["qwen3", "glm4_7", "deepseek"]

    subprocess.run(["sh", "-e", "-c", COMMANDS[0]], cwd=tmp_path, check=True)
    with pytest.raises(ValueError, match="the key 'qwen3' stands there twice"):
        read_section("rollouts", Rollouts, tmp_path / "params.yaml")
