"""A self-contained page of tables. All text is escaped: much of it comes from a model."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; color: #1a1a1a; }
h1 { font-size: 1.5rem; } h2, summary { font-size: 1.1rem; font-weight: 600; margin: 1.5rem 0 .5rem; }
summary { cursor: pointer; margin: .5rem 0; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .15rem .6rem; border-bottom: 1px solid #ddd; text-align: right; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #e6e6e6; } th, td { border-color: #333; } }
"""


def page(title: str, sections: Iterable[str]) -> str:
    """A whole document that needs nothing from elsewhere."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n'
        + ("\n".join(sections) + "\n</body></html>\n")
    )


def section(heading: str, header: Sequence[str], rows: Iterable[Sequence[Any]], *, folded: bool = False) -> str:
    """A heading and a table; a folded one shows its table when it is clicked."""
    lines = [_line("th", header), *(_line("td", row) for row in rows)]
    table = "<table>\n" + "\n".join(lines) + "\n</table>"
    if folded:
        return f"<details><summary>{escape(heading)}</summary>\n{table}\n</details>"
    return f"<h2>{escape(heading)}</h2>\n{table}"


def _line(tag: str, values: Iterable[Any]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(_shown(value))}</{tag}>" for value in values) + "</tr>"


def _shown(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "none" if value is None else str(value)
