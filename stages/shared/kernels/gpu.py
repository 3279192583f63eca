"""Which GPU answers run on. Nothing here starts CUDA: a process that forks must not."""

import subprocess
from collections.abc import Mapping


def gpu_name(env: Mapping[str, str]) -> str:
    """Name of the first GPU that `CUDA_VISIBLE_DEVICES` leaves, such as `NVIDIA H100 80GB HBM3`, by the driver's tool.

    Raises:
        ValueError: there is none, or none that can be used.
    """
    first = env.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    words = ["nvidia-smi", f"--id={first}", "--query-gpu=name", "--format=csv,noheader"]
    try:
        told = subprocess.run(words, capture_output=True, text=True, check=False, env=dict(env), timeout=60)  # noqa: S603
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        why = "nvidia-smi was not found" if isinstance(error, FileNotFoundError) else "nvidia-smi does not answer"
        raise ValueError(f"mode cuda needs an NVIDIA GPU: {why}") from None
    if told.returncode != 0 or not told.stdout.strip():
        why = " ".join((told.stdout + told.stderr).split()) or f"nvidia-smi --id={first} names none"
        raise ValueError(f"mode cuda needs an NVIDIA GPU: {why}")
    return told.stdout.splitlines()[0].strip()


def gpu_environment(env: Mapping[str, str]) -> dict[str, str]:
    """What a fork server needs to know so that its children use that GPU, and itself none."""
    chosen = {name: env[name] for name in ("CUDA_VISIBLE_DEVICES",) if name in env}
    # The order of nvidia-smi; no compiled kernels in the home; counting devices asks NVML, which starts nothing.
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_CACHE_DISABLE": "1", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"} | chosen
