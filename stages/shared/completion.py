"""What a model said: its reasoning, its content, and the code of its answer."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from stages.shared.stage import Params

REASONING_FIELDS = ("reasoning", "reasoning_content")
REASONING_SOURCES = (*REASONING_FIELDS, "reasoning_details")
"""Fields of an assistant message in which servers put the reasoning."""
_THOUGHT_TYPES = frozenset({"thinking", "reasoning"})
_TEXT_FIELDS = ("text", "thinking", "reasoning", "content", "summary")
"""Of an object that holds a text."""
_THINK = re.compile(r"\A\s*<think>(.*?)</think>\s*", re.DOTALL)
_OPEN_THINK = re.compile(r"\A\s*<think>(.*)\Z", re.DOTALL)
_FENCE = re.compile(r"^```[\w+-]*[ \t]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_ANSWERS = (
    # A block starts at the last opening before its end: prose may name the tag before it is used.
    ("answer_tag", re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL)),
    ("begin_python", re.compile(r"BEGIN_PYTHON((?:(?!BEGIN_PYTHON).)*?)END_PYTHON", re.DOTALL)),
    ("fence", _FENCE),
)


class CompletionParams(Params):
    """How completions are published: the params section `completion`."""

    reasoning_key: str = Field(pattern=r"^[a-z_]+$")
    """Key of the assistant message that holds the reasoning, or `inline` for `<think>` in the content."""

    @field_validator("reasoning_key")
    @classmethod
    def _is_free(cls, key: str) -> str:
        if key in {"role", "content"}:
            raise PydanticCustomError("taken", "Key should be another than role and content")
        return key


def split_reasoning(message: Mapping[str, Any]) -> tuple[str, str | None]:
    """Separate the reasoning of an assistant message from its content, wherever the server put it.

    Reasoning is read from `reasoning`, `reasoning_content` or `reasoning_details` (a text, an object or a list of
    parts with `text` or `summary`), and from the content: parts of the type `thinking` or `reasoning`,
    `<think>...</think>` at its start, or all before a lone `</think>` (a template that opens the block in the prompt).
    An opened block that never ends, as in a truncated reply, is all reasoning.

    Returns:
        The content without reasoning, and the reasoning, None where there is none.
    """
    parts = [text for field in REASONING_FIELDS if (text := _text(message.get(field)).strip())]
    if not parts and (details := _text(message.get("reasoning_details")).strip()):
        parts.append(details)
    text, thought = split_parts(message.get("content"))
    content, inline = _split_inline(text)
    parts += [found for found in (thought.strip(), inline) if found and found not in parts]
    # A server that fills both fields repeats itself; two different texts are both kept.
    return content, "\n\n".join(dict.fromkeys(parts)) or None


def split_parts(content: Any) -> tuple[str, str]:
    """The text and the thoughts of a content, which is a text, null, or a list of parts that are told apart by type."""
    if not isinstance(content, list):
        return _text(content), ""
    thoughts = [isinstance(part, Mapping) and str(part.get("type")) in _THOUGHT_TYPES for part in content]
    return (
        "".join(_text(part) for part, is_thought in zip(content, thoughts, strict=True) if not is_thought),
        "".join(_text(part) for part, is_thought in zip(content, thoughts, strict=True) if is_thought),
    )


def find_answer(content: str) -> tuple[str | None, str | None]:
    """The code of the last `<answer>`, `BEGIN_PYTHON`/`END_PYTHON` or fenced block, in this order of preference.

    Of several fenced blocks the last one that defines a class counts, so that a usage example is not the answer.

    Returns:
        Code and format (`answer_tag`, `begin_python`, `fence`), or (None, None).
    """
    for name, pattern in _ANSWERS:
        blocks = [code for block in pattern.findall(content) if (code := _unfence(block)).strip()]
        if name == "fence":
            blocks = [code for code in blocks if re.search(r"^\s*class\s", code, re.MULTILINE)] or blocks
        if blocks:
            return blocks[-1], name
    return None, None


def published_message(content: str, reasoning: str | None, reasoning_key: str) -> dict[str, str]:
    """The assistant message as it is published and as trainers render it.

    Args:
        content: what follows the reasoning.
        reasoning: None where the source has none.
        reasoning_key: name of the key that holds the reasoning, or `inline` for `<think>` in the content.
    """
    if reasoning is None:
        return {"role": "assistant", "content": content}
    if reasoning_key == "inline":
        return {"role": "assistant", "content": f"<think>\n{reasoning}\n</think>\n\n{content}"}
    return {"role": "assistant", "content": content, reasoning_key: reasoning}


def answer_only(answer: str) -> str:
    """The content of a row that is published without reasoning."""
    return f"<answer>\n{answer}\n</answer>"


def _split_inline(content: str) -> tuple[str, str]:
    if closed := _THINK.match(content):
        return content[closed.end() :], closed[1].strip()
    if opened := _OPEN_THINK.match(content):
        return "", opened[1].strip()
    before, tag, after = content.partition("</think>")
    return (after.lstrip(), before.strip()) if tag else (content, "")


def _text(value: Any, depth: int = 3) -> str:
    """A text, that of an object, which may hold another, or those of the objects of a list."""
    if isinstance(value, Mapping) and depth:
        return next((text for field in _TEXT_FIELDS if (text := _text(value.get(field), depth - 1))), "")
    if isinstance(value, list) and depth:
        return "".join(_text(part, depth - 1) for part in value if isinstance(part, Mapping))
    return value if isinstance(value, str) else ""


def _unfence(block: str) -> str:
    fenced = _FENCE.findall(block)
    return (fenced[-1] if fenced else block).strip("\n")
