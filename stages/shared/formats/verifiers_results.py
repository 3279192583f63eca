"""Rollouts as `vf-eval` of verifiers 0.1 to 0.3 saves them: the lines of `results.jsonl`."""

from collections.abc import Mapping
from typing import Any

from stages.shared.completion import REASONING_SOURCES
from stages.shared.formats.fields import json_object, objects, shown
from stages.shared.formats.messages import content_text
from stages.shared.formats.time_spans import span_milliseconds

_REPEATED = ("prompt", "completion", "tokens", "response")


def flatten(row: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Bring a line of `results.jsonl` to the fields of a published row.

    Until 0.1.10 the reasoning is only in the raw reply, which is saved when `trajectory` is (`-C trajectory`):
    `trajectory[-1].response.choices[0].message`; since 0.1.11 it is in the completion, too. Metrics are saved twice,
    flat and in `metrics`; of the trajectory the messages and tokens are left out, which repeat prompt and completion.

    Returns:
        The fields, and the token usage of the last reply, None where it is not saved.

    Raises:
        ValueError: field and what was expected, or why the rollout has no completion.
    """
    fields = dict(row)
    if not fields["completion"] and fields.get("error"):
        raise ValueError(f"completion: expected a reply, but the rollout failed: {shown(fields['error'])}")
    if (timing := fields.pop("timing", None)) is not None:
        fields |= _timings(json_object(timing, "timing"))
    metrics = fields.pop("metrics", None)
    if isinstance(metrics, dict):
        metrics = {name: value for name, value in metrics.items() if name not in fields or fields[name] != value}
    steps = objects(fields.pop("trajectory", None), "trajectory")
    fields |= {"metrics": metrics or None, "trajectory": [_without_texts(step) for step in steps] or None}
    usage = fields.get("token_usage")
    if steps:
        response = json_object(steps[-1].get("response") or {}, "trajectory[-1].response")
        usage = response.get("usage", usage)
        fields["completion"] = _with_reasoning(fields["completion"], _raw_message(response))
        if fields.get("is_truncated") is None:
            fields["is_truncated"] = steps[-1].get("is_truncated")
    return fields, usage


def _timings(timing: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds by name before 0.1.14, spans in seconds since."""
    if "generation" in timing:
        return span_milliseconds(timing, "generation", "scoring") | {"timing": timing}
    named = {name: timing.pop(name, None) for name in ("generation_ms", "scoring_ms", "total_ms")}
    return named | {"timing": timing or None}


def _raw_message(response: dict[str, Any]) -> dict[str, Any]:
    if "choices" not in response:
        return json_object(response.get("message") or {}, "trajectory[-1].response.message")
    choices = objects(response["choices"], "trajectory[-1].response.choices")
    return json_object(choices[0].get("message") or {}, "trajectory[-1].response.choices[0].message") if choices else {}


def _with_reasoning(completion: Any, raw: dict[str, Any]) -> Any:
    """Give the last message the reasoning of its raw reply."""
    if not raw or not isinstance(completion, list) or not completion or not isinstance(completion[-1], dict):
        return completion
    last = completion[-1]
    content = content_text(raw.get("content"), "trajectory[-1].response content")
    if content != content_text(last.get("content"), "completion[-1].content"):
        raise ValueError(f"trajectory[-1].response: expected the reply that ends the completion, got {shown(content)}")
    found = {field: raw[field] for field in REASONING_SOURCES if raw.get(field) and not last.get(field)}
    return [*completion[:-1], {**last, **found}]


def _without_texts(step: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in step.items() if key not in _REPEATED and value is not None}
    response = step.get("response")
    if isinstance(response, dict):
        about = {k: v for k, v in response.items() if k not in ("choices", "message") and v is not None}
        return rest | {"response": about}
    return rest
