"""How long a server asks to be left alone, read from the headers of its answer."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST_S = 600.0
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_LIMITS = ("requests", "tokens")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait before the next request, None where the server does not say.

    `retry-after-ms`, then `Retry-After` in seconds or as an HTTP date (RFC 9110, 10.2.3), then the later reset of
    those of `x-ratelimit-remaining-requests` and `-tokens` that are used up (`1s`, `6m0s`, as OpenAI writes them). At
    most 600.
    """
    found = _milliseconds(headers.get("retry-after-ms"))
    if found is None:
        found = _seconds_or_date(headers.get("retry-after"), now or datetime.now(UTC))
    if found is None:
        used_up = [what for what in _LIMITS if headers.get(f"x-ratelimit-remaining-{what}", "").strip() == "0"]
        resets = [duration(headers.get(f"x-ratelimit-reset-{what}", "")) for what in used_up]
        found = max((reset for reset in resets if reset is not None), default=None)
    return None if found is None else min(max(found, 0.0), _LONGEST_S)


def duration(text: str) -> float | None:
    """Seconds of `20`, `1.5s`, `6m0s` or `120ms`; None for anything else."""
    parts = _DURATION.findall(text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)


def _milliseconds(text: str | None) -> float | None:
    seconds = duration(text) if text else None
    return None if seconds is None else seconds / 1000


def _seconds_or_date(text: str | None, now: datetime) -> float | None:
    if not text:
        return None
    if (seconds := duration(text)) is not None:
        return seconds
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now.timestamp()
