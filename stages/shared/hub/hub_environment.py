"""What `huggingface_hub` and `datasets` read from the environment, set before they are imported for the first time."""

import logging
import os
import sys
from pathlib import Path

from stages.shared.settings import environment


def prepare(root: Path, **fixed: str) -> dict[str, str]:
    """Let them see `.env`, tell their progress on a terminal only, and say each thing once.

    Args:
        root: the project, for `.env`.
        fixed: variables that nobody may set otherwise.

    Returns:
        The environment with `.env`.

    Raises:
        ValueError: `HF_ENDPOINT` is no address.
    """
    env = environment(root)
    endpoint = env.get("HF_ENDPOINT", "")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise ValueError(f"HF_ENDPOINT: expected an address such as https://huggingface.co, got {endpoint!r}")
    silent = str(int(not sys.stderr.isatty()))
    bars = {"HF_HUB_DISABLE_PROGRESS_BARS": silent, "HF_DATASETS_DISABLE_PROGRESS_BARS": silent}
    os.environ.update(bars | env | fixed)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub").propagate = False  # it has a handler of its own
    return env
