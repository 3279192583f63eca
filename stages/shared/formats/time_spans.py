"""Time spans of rollouts, as verifiers writes them since 0.1.14: start and end in seconds since the epoch."""

from typing import Any

from stages.shared.formats.fields import json_object, number


def span_milliseconds(timing: dict[str, Any], generation: str, scoring: str) -> dict[str, float | None]:
    """`generation_ms`, `scoring_ms` and `total_ms` of two of the spans of a rollout; None where a span never ended.

    The total runs from the start of the generation to the end of the scoring (verifiers 0.1.14,
    `RolloutTiming.total`).

    Args:
        timing: the spans by name.
        generation: name of the span in which the model was asked.
        scoring: name of the span in which the reply was scored.
    """
    generated, scored = (_span(timing.get(name), f"timing.{name}") for name in (generation, scoring))
    return {
        "generation_ms": generated and (generated[1] - generated[0]) * 1000,
        "scoring_ms": scored and (scored[1] - scored[0]) * 1000,
        "total_ms": generated and scored and (scored[1] - generated[0]) * 1000,
    }


def _span(value: Any, name: str) -> tuple[float, float] | None:
    if value is None:
        return None
    span = json_object(value, name)
    start, end = (number(span, edge, f"{name}.") for edge in ("start", "end"))
    return (start, end) if start is not None and end else None
