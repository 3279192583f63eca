"""Row accounting: every row that comes in is kept, or dropped under a name, and the numbers add up."""

from collections import Counter
from collections.abc import Iterable


def account(reasons: Iterable[str | None]) -> dict[str, int]:
    """Count the fates of rows: None is a kept row, a text the reason it was dropped.

    Returns:
        `rows_in`, `kept` and a `dropped_<reason>` for each reason that occurs.
    """
    return balance(Counter(reasons))


def balance(fates: Counter[str | None], rows_in: int | None = None) -> dict[str, int]:
    """The accounting of counted fates; `rows_in`, where it is known from elsewhere, must be their sum."""
    total = fates.total()
    assert rows_in is None or rows_in == total, f"{rows_in} rows came in, {total} are accounted for"
    dropped = {f"dropped_{reason}": n for reason, n in sorted((r, n) for r, n in fates.items() if r is not None)}
    return {"rows_in": total, "kept": fates[None], **dropped}
