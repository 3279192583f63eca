"""A self-contained page of tables. All text is escaped: much of it comes from a model."""

from collections.abc import Iterable
from html import escape
from typing import Any

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1a1a1a; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; } td { padding: .15rem .6rem .15rem 0; border-bottom: 1px solid #ddd; }
td:last-child { text-align: right; font-variant-numeric: tabular-nums; }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #e6e6e6; } td { border-color: #333; } }
"""


def page(title: str, sections: Iterable[str]) -> str:
    """A whole document that needs nothing from elsewhere."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n'
        + ("\n".join(sections) + "\n</body></html>\n")
    )


def section(heading: str, rows: Iterable[tuple[str, Any]]) -> str:
    """A heading and a table of names and values."""
    lines = "\n".join(f"<tr><td>{escape(str(name))}</td><td>{escape(_shown(value))}</td></tr>" for name, value in rows)
    return f"<h2>{escape(heading)}</h2>\n<table>\n{lines}\n</table>"


def _shown(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "none" if value is None else str(value)
