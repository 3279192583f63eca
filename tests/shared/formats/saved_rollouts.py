"""The rollouts in tests/fixtures/rollouts, as they were saved and with single values replaced."""

from pathlib import Path
from typing import Any

from stages.shared.formats.rollouts import read_rollouts

Row = dict[str, Any]
FIXTURES = Path(__file__).parents[2] / "fixtures" / "rollouts"


def saved(form: str) -> list[Row]:
    """The rollouts of a format's fixture."""
    rows = [row.value for row in read_rollouts(FIXTURES / f"{form}.jsonl")]
    return [row for row in rows if row is not None]


def changed(form: str, path: str, value: Any, number: int = 0) -> Row:
    """A fixture's rollout with the value at a dotted path replaced."""
    row = saved(form)[number]
    *parents, last = path.split(".")
    place: Any = row
    for key in parents:
        place = place[int(key) if isinstance(place, list) else key]
    place[int(last) if isinstance(place, list) else last] = value
    return row
