"""A small picture of distributions: one SVG file that needs nothing from elsewhere, and is the same for equal numbers.

It has a background of its own, so that it can be read on any page, and a dark one where the reader prefers that.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

_WIDTH, _PANEL_WIDTH, _GAP = 760, 356, 16
_PLOT_LEFT, _PLOT_RIGHT, _PLOT_TOP, _PLOT_BOTTOM = 14, 342, 58, 138
_BARS_TOP, _HEADING_HEIGHT, _TICKS_HEIGHT = 44, 40, 24
_MOST_BINS, _MOST_BARS, _LONGEST_LABEL = 40, 5, 17
_FARTHEST = 1e300
"""Values beyond are drawn here: the distance of two of them is still a number."""
_BAR_LEFT, _BAR_RIGHT, _BAR_STEP = 130, 262, 22
# XML knows no control characters, not even escaped ones.
_NOT_XML = re.compile(r"[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_STYLE = """
svg { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 11px; }
.page { fill: #ffffff; stroke: #d5d9e0; } .title { font-size: 13px; font-weight: 600; fill: #1c2128; }
text { fill: #4a515c; } .bar { fill: #4c72b0; } .axis { stroke: #aab1bb; }
.mark { stroke: #c4502e; stroke-width: 1.5; stroke-dasharray: 4 3; } .marked { fill: #b0431f; }
@media (prefers-color-scheme: dark) {
.page { fill: #14181f; stroke: #363d47; } .title { fill: #e8ebef; }
text { fill: #aab3bf; } .bar { fill: #6f9be0; } .axis { stroke: #505864; }
.mark { stroke: #f08a5d; } .marked { fill: #f08a5d; }
}
"""


@dataclass(frozen=True)
class Histogram:
    """How many rows have which value."""

    title: str
    values: Sequence[float]
    unit: str = ""
    from_zero: bool = False
    """Start the axis at 0 also where all values are far above."""
    marks: Mapping[str, float] = field(default_factory=dict)
    """Values that a line and a label show."""


@dataclass(frozen=True)
class Bars:
    """How many rows have which name, in the given order; what is too much is summed up as the last bar."""

    title: str
    counts: Mapping[str, int]


def picture(panels: Sequence[Histogram | Bars], description: str) -> str:
    """Draw panels, two beside each other.

    Args:
        panels: what to draw.
        description: what the picture shows, for those who do not see it.

    Returns:
        The text of an SVG file.
    """
    lines = [panels[i : i + 2] for i in range(0, len(panels), 2)]
    height = _GAP + sum(max(map(_height, line)) + _GAP for line in lines)
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="description">',
        f'<title id="description">{_text(description)}</title>',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>',
    ]
    y = _GAP
    for line in lines:
        for x, panel in zip((_GAP, _GAP + _PANEL_WIDTH + _GAP), line, strict=False):
            drawn = _histogram(panel) if isinstance(panel, Histogram) else _bars(panel)
            parts += [f'<g transform="translate({x} {y})">', *drawn, "</g>"]
        y += max(map(_height, line)) + _GAP
    return "\n".join([*parts, "</svg>", ""])


def bin_width(span: float, most_bins: int) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that divides a span into at most so many bins."""
    if span <= 0:
        return 1.0
    exponent = int(f"{span / most_bins:e}".partition("e")[2])
    widths = [m * 10.0**e for e in (exponent, exponent + 1) for m in (1, 2, 5)]
    return next(width for width in widths if span / width <= most_bins)


def label(value: float) -> str:
    """A number as an axis shows it."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{round(value, 9):g}"


def _height(panel: Histogram | Bars) -> int:
    if isinstance(panel, Histogram):
        return _PLOT_BOTTOM + _TICKS_HEIGHT if panel.values else _HEADING_HEIGHT
    return _BARS_TOP + min(len(panel.counts), _MOST_BARS) * _BAR_STEP


def _histogram(panel: Histogram) -> list[str]:
    if not panel.values:
        return _heading(panel.title, "no rows")
    values = [min(max(value, -_FARTHEST), _FARTHEST) for value in panel.values]
    shown = [*values, *panel.marks.values(), *([0.0] if panel.from_zero else [])]
    low, high = min(shown), max(shown)
    width = bin_width(high - low, _MOST_BINS)
    # A value that stands on a bound belongs to the bin above it: 0.85 / 0.05 is below 17 in binary.
    bins = Counter(math.floor(value / width + 1e-9) for value in values)
    first, last = math.floor(low / width + 1e-9), max(math.floor(high / width + 1e-9) + 1, max(bins) + 1)
    if len(bins) == 1 and last - first == 1:
        first, last = first - 1, last + 1
    scale = (_PLOT_RIGHT - _PLOT_LEFT) / (last - first)

    def place(value: float) -> float:
        return _PLOT_LEFT + (value / width - first) * scale

    most = max(bins.values())
    parts = _heading(
        panel.title, f"{len(panel.values):,} rows, at most {most:,} in a bar of {label(width)}{panel.unit}"
    )
    for n, count in sorted(bins.items()):
        tall = max(count / most * (_PLOT_BOTTOM - _PLOT_TOP), 1.0)
        parts.append(_rect(place(n * width) + 0.5, _PLOT_BOTTOM - tall, max(scale - 1, 0.6), tall))
    parts.append(_line("axis", _PLOT_LEFT, _PLOT_BOTTOM, _PLOT_RIGHT, _PLOT_BOTTOM))
    tick = bin_width((last - first) * width, 6)
    for n in range(math.ceil(first * width / tick - 1e-9), math.floor(last * width / tick + 1e-9) + 1):
        at = place(n * tick)
        parts.append(_line("axis", at, _PLOT_BOTTOM, at, _PLOT_BOTTOM + 4))
        parts.append(_label_at(at, _PLOT_BOTTOM + 17, label(n * tick), "middle" if at > _PLOT_LEFT + 8 else "start"))
    for name, value in panel.marks.items():
        at = place(value)
        parts.append(_line("mark", at, _PLOT_TOP - 10, at, _PLOT_BOTTOM))
        left = at > (_PLOT_LEFT + _PLOT_RIGHT) / 2
        parts.append(_label_at(at - 5 if left else at + 5, _PLOT_TOP - 6, name, "end" if left else "start", "marked"))
    return parts


def _bars(panel: Bars) -> list[str]:
    total = sum(panel.counts.values())
    if not total:
        return _heading(panel.title, "no rows")
    bars = list(panel.counts.items())
    if len(bars) > _MOST_BARS:
        rest = bars[_MOST_BARS - 1 :]
        bars = [*bars[: _MOST_BARS - 1], (f"{len(rest)} others", sum(n for _, n in rest))]
    most = max(n for _, n in bars)
    parts = _heading(panel.title, f"{total:,} rows")
    for i, (name, n) in enumerate(bars):
        y = _BARS_TOP + i * _BAR_STEP
        wide = n / most * (_BAR_RIGHT - _BAR_LEFT)
        shown = name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 2]}..."
        parts.append(_label_at(_BAR_LEFT - 8, y + 12, shown, "end"))
        if n:
            parts.append(_rect(_BAR_LEFT, y, max(wide, 1.0), _BAR_STEP - 6))
        parts.append(_label_at(_BAR_LEFT + wide + 6, y + 12, f"{n:,} ({n / total:.0%})", "start"))
    return parts


def _heading(title: str, note: str) -> list[str]:
    return [
        f'<text class="title" x="{_PLOT_LEFT}" y="14">{_text(title)}</text>',
        _label_at(_PLOT_LEFT, 31, note, "start"),
    ]


def _rect(x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="bar" x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"/>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"/>'


def _label_at(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    marked = f' class="{kind}"' if kind else ""
    return f'<text{marked} x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{_text(text)}</text>'


def _text(text: str) -> str:
    return escape(_NOT_XML.sub(" ", text))


def _n(value: float) -> str:
    """A coordinate; rounded, so that the last bits of a float do not show."""
    return f"{value:.1f}".removesuffix(".0")
