"""What a run may do and where things are: read from the environment and `.env`, no part of any result."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

_CONCURRENCY = 64


@dataclass(frozen=True)
class Settings:
    """The limits of one run."""

    concurrency: int
    """Most requests in flight, of all endpoints together."""
    max_requests: int | None
    max_usd: float | None
    patience_s: float | None = None
    """Seconds without one answer, while requests fail, after which a run gives up; None for the client's own."""
    timeout_s: float | None = None
    """After which a request without a reply is sent again; None leaves it to the stage."""

    @classmethod
    def read(cls, env: Mapping[str, str]) -> "Settings":
        """From `LLM_CONCURRENCY`, `LLM_MAX_REQUESTS`, `LLM_MAX_USD`, `LLM_PATIENCE_S` and `LLM_TIMEOUT_S`.

        Raises:
            ValueError: a cap that is negative, another limit that is not above 0, or a part of a request.
        """
        requests = number(env, "LLM_MAX_REQUESTS", whole=True)
        return cls(
            concurrency=int(number(env, "LLM_CONCURRENCY", positive=True, whole=True) or _CONCURRENCY),
            max_requests=None if requests is None else int(requests),
            max_usd=number(env, "LLM_MAX_USD"),
            patience_s=number(env, "LLM_PATIENCE_S", positive=True),
            timeout_s=number(env, "LLM_TIMEOUT_S", positive=True),
        )


def project_root() -> Path:
    """The repository. DVC names it, also to experiments in a temporary folder, so that all of them share one store."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd())


def environment(root: Path) -> dict[str, str]:
    """The process's environment, over what `.env` in the repository says."""
    written = dotenv_values(root / ".env") if (root / ".env").is_file() else {}
    return {name: value for name, value in written.items() if value is not None} | dict(os.environ)


def store_folder(root: Path, env: Mapping[str, str]) -> Path:
    """Where replies are kept: `RESPONSE_STORE`, or `.responses` in the repository."""
    return root / Path(env.get("RESPONSE_STORE") or ".responses").expanduser()


def number(env: Mapping[str, str], name: str, *, positive: bool = False, whole: bool = False) -> float | None:
    """A variable as a number of 0 or more, None where it is not set.

    Args:
        env: the environment.
        name: of the variable.
        positive: 0 is refused.
        whole: fractions are refused.

    Raises:
        ValueError: it is no such number.
    """
    text = env.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf or (positive and value == 0) or (whole and not value.is_integer()):
        kind = "whole number" if whole else "number"
        raise ValueError(f"{name}: expected a {kind} {'above 0' if positive else 'of 0 or more'}, got {text!r}")
    return value
