"""Read an SFT row by the documented rules of prime-rl's `trainer/sft/data.py`.

`messages` wins if it is not null; else `prompt` and `completion`, texts or lists of messages, are both required. Nulls
are stripped at every depth. Most renderers read reasoning under `reasoning_content` alone, or before `</think>` in the
content.
"""

import json
from typing import Any


def read_messages(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The conversation of a row.

    Raises:
        ValueError: the row has neither `messages` nor both `prompt` and `completion`.
    """
    if row.get("messages") is not None:
        found = row["messages"]
    elif row.get("prompt") is not None and row.get("completion") is not None:
        found = [*_listed(row["prompt"], "user"), *_listed(row["completion"], "assistant")]
    else:
        raise ValueError("expected messages, or prompt and completion")
    for name in ("tools", "tool_defs"):
        if isinstance(row.get(name), str):
            json.loads(row[name])
    messages: list[dict[str, Any]] = _without_nulls(found)
    return messages


def reasoning_of(message: dict[str, Any]) -> str | None:
    """What a renderer takes for the reasoning of an assistant message."""
    if "reasoning_content" in message:
        return str(message["reasoning_content"])
    before, tag, _ = message["content"].partition("</think>")
    return before.removeprefix("<think>").strip() if tag else None


def _listed(value: Any, role: str) -> list[dict[str, Any]]:
    return [{"role": role, "content": value}] if isinstance(value, str) else list(value)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
