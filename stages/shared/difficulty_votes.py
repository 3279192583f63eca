"""Difficulty as a model says it: the reply's form, the majority of several, and agreement between raters."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

LEVELS = ("low", "medium", "high")
_TAG = re.compile(r"<difficulty>\s*([a-z]+)\s*</difficulty>")


def parse_difficulty(text: str) -> str | None:
    """The level of a reply: in its one `<difficulty>` tag, or as a JSON object; None for anything else."""
    levels = set(_TAG.findall(text.lower()))
    if not levels:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):  # a number of thousands of digits is a ValueError
            return None
        levels = {str(found.get("difficulty"))} if isinstance(found, dict) and len(found) == 1 else set()
    level = levels.pop() if len(levels) == 1 else None
    return level if level in LEVELS else None


def judge_difficulty(text: str) -> str | None:
    """What is wrong with a reply, None when it says one level."""
    return None if parse_difficulty(text) else "expected one <difficulty> tag with low, medium or high"


def majority(votes: Sequence[str]) -> tuple[str, float]:
    """The most frequent level and its share; of a tie the one nearest to the middle of all votes, then the lower."""
    counts = Counter(votes)
    most = max(counts.values())
    ordered = sorted(votes, key=LEVELS.index)
    middle = LEVELS.index(ordered[(len(ordered) - 1) // 2])
    tied = sorted((level for level, n in counts.items() if n == most), key=LEVELS.index)
    chosen = min(tied, key=lambda level: abs(LEVELS.index(level) - middle))
    return chosen, round(most / len(votes), 6)


def agreement(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Confusion table and Cohen's kappa of two raters over the rows that both rated.

    Args:
        pairs: (static, model) levels.

    Returns:
        `rows`, `confusion` by `static/model`, `observed` share of equal levels, and `kappa` = (observed - expected) /
        (1 - expected) with the expected share of raters who know only the frequencies (Cohen, 1960); None where the
        expected share is 1.
    """
    counts = Counter(pairs)
    rows = counts.total()
    if not rows:
        return {"rows": 0}
    left, right = Counter[str](), Counter[str]()
    for (static, model), n in counts.items():
        left[static] += n
        right[model] += n
    observed = sum(counts[level, level] for level in LEVELS) / rows
    expected = sum(left[level] * right[level] for level in LEVELS) / rows**2
    return {
        "rows": rows,
        "confusion": {f"{static}/{model}": n for (static, model), n in sorted(counts.items())},
        "observed": round(observed, 6),
        "kappa": round((observed - expected) / (1 - expected), 6) if expected < 1 else None,
    }
