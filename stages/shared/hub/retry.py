"""Ask the Hub again when it is busy, broken or silent."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stages.shared.retry_after import retry_after

log = logging.getLogger("hub")
Result = TypeVar("Result")
WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Between attempts, at least."""
_LONGEST_S = 300.0
"""A server that asks for a longer pause than this is not waited for."""
_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Trouble:
    """Why a call may be repeated."""

    reason: str
    wait_s: float
    """What the server asked for; 0 where it did not say."""


def patiently(what: str, call: Callable[[], Result], waits_s: Sequence[float] = WAITS_S) -> Result:
    """Call, and again after each wait as long as the trouble may pass.

    `what` says in the log what is done. Whatever else goes wrong is raised as it is.

    Raises:
        ValueError: the trouble did not pass, or the server asks for a pause that is too long.
    """
    from httpx2 import HTTPError  # noqa: PLC0415

    for wait_s in (*waits_s, None):
        try:
            return call()
        except (HTTPError, OSError, RuntimeError) as error:
            trouble = passing_trouble(error)
            if trouble is None:
                raise
            if wait_s is None or trouble.wait_s > _LONGEST_S:
                asked = f", and asks to wait more than {_LONGEST_S:.0f} s" if trouble.wait_s > _LONGEST_S else ""
                raise ValueError(f"{what}: {trouble.reason}{asked}; run again later, nothing is done twice") from error
            pause_s = max(wait_s, trouble.wait_s)
            log.info("%s: %s; again in %.0f s", what, trouble.reason, pause_s)
            time.sleep(pause_s)
    raise AssertionError


def passing_trouble(error: BaseException) -> Trouble | None:
    """What in an error, or in what caused it, may be gone the next time: rate limits, server errors, lost connections.

    `huggingface_hub` wraps what went wrong underway in errors of its own, so the causes count too.
    """
    # huggingface_hub reads the environment when it is imported.
    from httpx2 import TransportError  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled  # noqa: PLC0415
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # noqa: PLC0415

    for cause in _causes(error):
        if isinstance(cause, OfflineModeIsEnabled):
            return None
        if isinstance(cause, HfHubHTTPError):
            status, headers = cause.response.status_code, cause.response.headers
            if status not in _STATUSES:
                return None
            limit = parse_ratelimit_headers(headers)
            reset_s = limit.reset_in_seconds if limit and limit.remaining == 0 else 0
            reason = "too many requests" if status == 429 else f"the Hub answers {status}"
            return Trouble(reason, max(retry_after(headers) or 0.0, reset_s))
        if isinstance(cause, TransportError):
            return Trouble(f"no answer ({type(cause).__name__})", 0.0)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
