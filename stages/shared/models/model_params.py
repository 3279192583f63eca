"""The knobs that enter a request to a model, and nothing else: they alone make a reply another one."""

from typing import Any, Literal

from pydantic import Field

from stages.shared.models.providers import Provider
from stages.shared.stage import Params


class ModelParams(Params):
    """What stages that ask a model have in common."""

    provider: Provider
    """Whose endpoint and key: prime, openai, vllm or custom (LLM_BASE_URL)."""
    model: str
    """Name of the model at the provider."""
    temperature: float | None = Field(ge=0.0, le=2.0)
    """Sampling temperature; null leaves it to the server."""
    max_tokens: int | None = Field(ge=1)
    """Most tokens of a reply, reasoning included; doubled when a reply is cut off. null leaves it to the server."""
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None
    """How much a reasoning model thinks; null leaves it to the server."""
    sample: int = Field(ge=0)
    """Another number asks for fresh replies to the same requests."""
    max_failed_fraction: float = Field(ge=0.0, le=1.0)
    """Fail when a larger share of the rows is refused, rejected or unusable for good."""


def request_body(params: ModelParams, prompt: str) -> dict[str, Any]:
    """The body of a chat completion with one user message."""
    body: dict[str, Any] = {"model": params.model, "messages": [{"role": "user", "content": prompt}]}
    optional = {
        "temperature": params.temperature,
        "max_tokens": params.max_tokens,
        "reasoning_effort": params.reasoning_effort,
    }
    return body | {name: value for name, value in optional.items() if value is not None}
