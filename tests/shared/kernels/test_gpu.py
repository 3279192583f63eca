"""With a real executable in the place of the driver's tool."""

import os
from pathlib import Path

import pytest

from stages.shared.kernels.gpu import gpu_name


def tool(folder: Path, script: str) -> dict[str, str]:
    """An environment in which `nvidia-smi` is this shell script."""
    file = folder / "nvidia-smi"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.defpath}"}


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")


@pytest.mark.parametrize(("visible", "asked"), [({}, "0"), ({"CUDA_VISIBLE_DEVICES": "3,1"}, "3")])
def test_the_first_visible_gpu_is_named(tmp_path: Path, on_path: None, visible: dict[str, str], asked: str) -> None:
    env = tool(tmp_path, f'test "$1" = --id={asked} && echo "NVIDIA H100 80GB HBM3"')

    assert gpu_name(env | visible) == "NVIDIA H100 80GB HBM3"


def test_a_machine_without_the_tool_has_no_gpu(on_path: None) -> None:
    with pytest.raises(ValueError, match=r"^mode cuda needs an NVIDIA GPU: nvidia-smi was not found$"):
        gpu_name({"PATH": os.defpath})


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (
            "echo 'NVIDIA-SMI has failed\nbecause of the driver.'; exit 9",
            "NVIDIA-SMI has failed because of the driver.",
        ),
        ("echo 'No devices were found' >&2; exit 6", "No devices were found"),
        ("true", "nvidia-smi --id=0 names none"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, on_path: None, script: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^mode cuda needs") as raised:
        gpu_name(tool(tmp_path, script))

    assert str(raised.value) == f"mode cuda needs an NVIDIA GPU: {why}"
