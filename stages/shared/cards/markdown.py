"""Markdown for dataset cards. Much of the text comes from data or from a model, and must stay text."""

import re
from collections.abc import Iterable, Mapping, Sequence


class Markdown(str):
    """A text of the project's own that is Markdown already."""

    __slots__ = ()


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, numbers at the right; texts from data cannot break out of their cell."""
    lines = list(rows)
    ruler = ["---:" if _numbers([line[i] for line in lines]) else "---" for i in range(len(header))]
    return "\n".join("| " + " | ".join(cell(value) for value in line) + " |" for line in [header, ruler, *lines])


def counts_table(what: str, counts: Mapping[str, int]) -> str:
    """A table of names and numbers of rows."""
    return markdown_table([what, "rows"], counts.items())


def cell(value: object) -> str:
    """A value as one line of harmless Markdown."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Markdown):
        return value
    return re.sub(r"([|<>`\[\]\\])", r"\\\1", " ".join(str(value).split()))


def code(value: object) -> str:
    """A value as code inside a line of text."""
    return f"`{' '.join(str(value).split()).replace('`', chr(39))}`"


def numbered(items: Iterable[str]) -> str:
    """A numbered list of Markdown texts of one line each."""
    return "\n".join(f"{i}. {item}" for i, item in enumerate(items, 1))


def bullets(items: Iterable[str]) -> str:
    """A list of Markdown texts of one line each."""
    return "\n".join(f"- {item}" for item in items)


def python_block(code: str) -> str:
    """A block of code."""
    return f"```python\n{code}\n```"


def rows_text(n: int) -> str:
    """A number of rows in words."""
    return "1 row" if n == 1 else f"{n:,} rows"


def _numbers(values: Sequence[object]) -> bool:
    given = [value for value in values if value != ""]
    return bool(given) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in given)
