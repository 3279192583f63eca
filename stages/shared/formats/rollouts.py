"""Recognise the shapes in which rollouts are saved, and bring each to one normal form."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages.shared.completion import REASONING_SOURCES, find_answer, split_reasoning
from stages.shared.formats import verifiers_results, verifiers_traces
from stages.shared.formats.fields import json_object, number, optional, required_text, texts
from stages.shared.formats.messages import Message, messages, trained_turn
from stages.shared.formats.rows_file import SourceRow, read_rows
from stages.shared.records import extra_json

Row = Mapping[str, Any]
FORMATS = {
    "evals": "prompt, completion, info",
    "verifiers-0.1.9": "prompt, completion, error, optionally trajectory",
    "verifiers-0.1.10": "prompt, completion, timing",
    "verifiers-0.1.11": "prompt, completion, tool_defs; written up to 0.3",
    "verifiers-0.4": "task, traces",
    "prime-rl": "prompt, completion, info, oai_tools as a JSON text",
}
"""The known formats and the fields that tell them apart."""
INFO_COLUMNS = {
    "triton_code": str,
    "uuid": int,
    "repo_name": str,
    "stars": int,
    "sha": str,
    "repo_link": str,
}
"""Columns that a rollout takes from its `info`, with their types."""
NUMBERS = ("reward", "speedup_reward", "generation_ms", "scoring_ms", "total_ms")
_MESSAGE_FIELDS = ("role", "content", "tool_calls", *REASONING_SOURCES)


def read_rollouts(path: Path) -> Iterator[SourceRow]:
    """Yield every rollout below `path`, in the order of file names and lines; a line may hold several (0.4)."""
    for row in read_rows(path):
        if row.value is None or "traces" not in row.value:
            yield row
        else:
            yield from (replace(row, value=dict(episode)) for episode in verifiers_traces.split_episode(row.value))


def source_format(row: Row) -> str:
    """The name of the shape of a saved rollout.

    `prime-rl` and `evals` have the same fields; `row_id` is in datasets that this pipeline published.

    Raises:
        ValueError: what the row has and what is known, when no known shape fits.
    """
    if "task" in row and "traces" in row:
        return "verifiers-0.4"
    if "prompt" in row and "completion" in row:
        if "tool_defs" in row:
            return "verifiers-0.1.11"
        if "timing" in row:
            return "verifiers-0.1.10"
        if "error" in row or "trajectory" in row:
            return "verifiers-0.1.9"
        if "info" in row:
            return "prime-rl" if isinstance(row.get("oai_tools"), str) and "row_id" not in row else "evals"
    known = "; ".join(f"{name} ({fields})" for name, fields in FORMATS.items())
    got = ", ".join(sorted(row))[:300] or "no field"
    raise ValueError(f"not a known rollout format: got {got}; known are {known}")


def normalise(row: Row) -> dict[str, Any]:
    """Bring a saved rollout to the columns of `records` that it determines alone.

    All but the ids, `position` and the source columns are set. Fields without a column go to `extra`, those of the
    trained message under `message`; the readers of each format say which repeated texts they leave out.

    Raises:
        ValueError: field and what was expected.
    """
    form = source_format(row)
    fields, usage = _flatten(row, form)
    info = json_object(fields.pop("info", None), "info")
    prompt = messages(fields.pop("prompt"), "prompt", "user")
    prompt, message = trained_turn(prompt, messages(fields.pop("completion"), "completion", "assistant"))
    content, reasoning = split_reasoning(message)
    if reasoning is None and (lost := reasoning_tokens(usage)):
        raise ValueError(
            f"completion: expected reasoning, as the usage counts {lost} reasoning tokens, but no field holds it: "
            "it was lost on the way"
        )
    answer, answer_format = find_answer(content)
    # Elsewhere `answer` is the task's expected answer, not the model's.
    field = fields.pop("answer", None) if form == "evals" else None
    if answer is None and isinstance(field, str) and field.strip():
        answer, answer_format = field.strip("\n"), "field"
    record: dict[str, Any] = {
        "module_name": required_text(info, "module_name", "info."),
        "python_code": required_text(info, "python_code", "info."),
        "prompt": prompt,
        "content": content,
        "reasoning": reasoning,
        "answer": answer,
        "answer_format": answer_format,
        "entry_point": optional(info, "entry_point", str, "info."),
        "licenses": texts(info, "licenses", "info."),
        "example_id": optional(fields, "example_id", int),
        "num_turns": optional(fields, "num_turns", int),
        "is_truncated": optional(fields, "is_truncated", bool),
        "task": optional(fields, "task", str),
        "source_format": form,
    }
    record |= {name: optional(info, name, kind, "info.") for name, kind in INFO_COLUMNS.items()}
    record |= {name: number(fields, name) for name in NUMBERS}
    rest = {key: value for key, value in message.items() if key not in _MESSAGE_FIELDS and value}
    known = {key: value for key, value in info.items() if value is not None}
    record["extra"] = extra_json(fields | {"info": known or None, "message": rest or None})
    return record


def reasoning_tokens(usage: Any) -> int:
    """The number of reasoning tokens that a server's token usage names, in the field of OpenAI or of verifiers."""
    if not isinstance(usage, dict):
        return 0
    details = usage.get("completion_tokens_details")
    places = [usage, details] if isinstance(details, dict) else [usage]
    return max((n for place in places if type(n := place.get("reasoning_tokens")) is int), default=0)


def _flatten(row: Row, form: str) -> tuple[dict[str, Any], Any]:
    """The fields of a published row, and the token usage of the last reply, None where it is not saved."""
    if form == "verifiers-0.4":
        return verifiers_traces.flatten(row)
    if form.startswith("verifiers"):
        return verifiers_results.flatten(row)
    fields = dict(row)
    if form == "prime-rl":
        fields["completion"] = _named_reasoning(fields["completion"])
        fields["oai_tools"] = None if fields["oai_tools"] == "null" else fields["oai_tools"]
    return fields, fields.get("usage")


def _named_reasoning(completion: Any) -> Any:
    """`synthesize` adds one field to an assistant message, under the name that its config gives (`reasoning_field`)."""
    if not isinstance(completion, list) or not completion or not isinstance(completion[-1], dict):
        return completion
    last: Message = dict(completion[-1])
    named = {key for key, value in last.items() if isinstance(value, str) and value}
    own = named.difference(_MESSAGE_FIELDS, ("name", "refusal"))
    if len(own) == 1 and not any(last.get(field) for field in REASONING_SOURCES):
        last["reasoning"] = last.pop(own.pop())
    return [*completion[:-1], last]
