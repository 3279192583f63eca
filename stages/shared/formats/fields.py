"""Take fields from a source row, with their types checked and errors that name the field."""

import math
from typing import Any

import msgspec

_INT64 = 1 << 63


def required_text(fields: dict[str, Any], name: str, prefix: str = "") -> str:
    """Take a text that must be there, though it may be empty: real sets hold rollouts whose module's code is lost."""
    value = fields.pop(name, None)
    if not isinstance(value, str):
        raise ValueError(f"{prefix}{name}: expected a text, got {shown(value)}")
    return value


def optional(fields: dict[str, Any], name: str, kind: type, prefix: str = "") -> Any:
    """Take a value that may be missing or null.

    A boolean is not a number. An int must fit 64 bits, and may be written as 2.0, as verifiers writes its metrics;
    NaN, as pandas writes a missing int, is missing.
    """
    value = fields.pop(name, None)
    if kind is int and isinstance(value, float):
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    if value is None:
        return None
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if not fits or (kind is int and not -_INT64 <= value < _INT64):
        raise ValueError(f"{prefix}{name}: expected {kind.__name__} or null, got {shown(value)}")
    return value


def texts(fields: dict[str, Any], name: str, prefix: str = "") -> list[str]:
    """Take a list of texts; null and a single text are accepted."""
    value = fields.pop(name, None)
    value = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{prefix}{name}: expected a list of texts, got {shown(value)}")
    return value


def number(fields: dict[str, Any], name: str, prefix: str = "") -> float | None:
    """Take a number; null and NaN are both missing."""
    value = fields.pop(name, None)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{prefix}{name}: expected a number or null, got {shown(value)}")
    try:
        value = float(value)
    except OverflowError:
        value = math.inf
    if math.isinf(value):
        raise ValueError(f"{prefix}{name}: expected a finite number or null, got a larger one than a float holds")
    return value


def json_object(value: Any, name: str) -> dict[str, Any]:
    """An object, or the JSON text of one, as a dict of its own."""
    given = value
    if isinstance(value, str):
        try:
            given = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            raise ValueError(f"{name}: expected an object, got {shown(value)}") from None
    if not isinstance(given, dict):
        raise ValueError(f"{name}: expected an object, got {shown(value)}")
    return dict(given)


def objects(value: Any, name: str) -> list[dict[str, Any]]:
    """A list of objects; null is an empty one."""
    value = [] if value is None else value
    if not isinstance(value, list):
        raise ValueError(f"{name}: expected a list of objects, got {shown(value)}")
    for i, item in enumerate(value):
        if not isinstance(item, dict):
            raise ValueError(f"{name}[{i}]: expected an object, got {shown(item)}")
    return value


def shown(value: Any) -> str:
    """A value as an error message shows it: at most 60 characters."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} that is nested too deeply to show"
    return text if len(text) <= 60 else text[:57] + "..."
