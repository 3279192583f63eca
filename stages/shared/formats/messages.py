"""Chat messages as servers and environments write them, and the turn of them that is trained on."""

from typing import Any

from stages.shared.completion import split_reasoning
from stages.shared.formats.fields import shown

Message = dict[str, Any]


def messages(value: Any, name: str, role: str) -> list[Message]:
    """Messages with their content as one text; a bare text is one message of `role`.

    Raises:
        ValueError: not messages, a message that calls a tool, or content that is not text.
    """
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name}: expected a text or a list of messages, got {shown(value)}")
    return [_message(item, f"{name}[{i}]") for i, item in enumerate(value)]


def trained_turn(prompt: list[Message], completion: list[Message]) -> tuple[list[dict[str, str]], Message]:
    """The context and the last assistant message, which is what is trained on.

    Earlier turns of the completion are context, without their reasoning, as chat templates show them.

    Raises:
        ValueError: the completion does not end with the assistant.
    """
    *earlier, last = completion
    if last["role"] != "assistant":
        raise ValueError(f"completion[{len(earlier)}].role: expected assistant, got {shown(last['role'])}")
    context = [{"role": turn["role"], "content": turn["content"]} for turn in prompt]
    return context + [{"role": turn["role"], "content": split_reasoning(turn)[0]} for turn in earlier], last


def content_text(value: Any, name: str) -> str:
    """Message content as one text: a text, null, or a list of text parts, which are joined as chat templates do."""
    if isinstance(value, str):
        return value
    parts = [] if value is None else value
    if not isinstance(parts, list):
        raise ValueError(f"{name}: expected a text, got {shown(value)}")
    found = [part.get("text") if isinstance(part, dict) else None for part in parts]
    texts = [text for text in found if isinstance(text, str)]
    if len(texts) != len(parts):
        raise ValueError(f"{name}: expected a text, got {shown(value)}")
    return "".join(texts)


def _message(value: Any, name: str) -> Message:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        raise ValueError(f"{name}: expected a message with a role, got {shown(value)}")
    if value.get("tool_calls"):
        raise ValueError(f"{name}.tool_calls: expected none, tool use cannot be published")
    return {**value, "content": content_text(value.get("content"), f"{name}.content")}
