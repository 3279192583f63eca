"""Markdown for dataset cards. Much of the text comes from data or from a model, and must stay text."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

_LONGEST = 200
_RENDERED = re.compile(r"[|<>`\[\]\\*~&$]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown, HTML or a formula may begin or end with; inside of a word `_` is only itself."""
_LINKED = re.compile(r"://|\bwww\.|\S@\S|\b(mailto|xmpp):", re.IGNORECASE)
"""What becomes a link by itself, also behind a backslash; in code it does not."""


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
    """A value as one line of harmless Markdown, without control characters, of some 200 characters at most."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, list | tuple):
        return cell(", ".join(map(str, value)) or None)
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Markdown):
        return value
    text = _line(value)
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 3]}..."
    if _LINKED.search(text):
        # A backslash does not keep a table from ending a cell of code.
        return code(text.replace("|", "%7C"))
    return _RENDERED.sub(r"\\\g<0>", text)


def code(value: object) -> str:
    """A value as code inside a line of text."""
    return f"`{_line(value).replace('`', chr(39))}`"


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


def _line(value: object) -> str:
    """A value on one line, without what does not show: controls, marks of direction, halves of characters."""
    line = " ".join(str(value).split())
    return " ".join("".join(c for c in line if not unicodedata.category(c).startswith("C")).split())


def _numbers(values: Sequence[object]) -> bool:
    given = [value for value in values if value != ""]
    return bool(given) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in given)
