"""What the loss of prime-rl sees of an SFT row, by the installed package `renderers`."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from renderers import RendererConfig
from renderers.base import build_training_sample, create_renderer

from tests.prime_rl_reader import read_messages


def learned(renderer: Mapping[str, Any], tokenizer: Any, row: dict[str, Any]) -> str:
    """The text of the tokens in the loss: what a model would say in assistant messages.

    Args:
        renderer: the table of this name in the configuration.
        tokenizer: of `transformers`; its `name_or_path` says which model it is of.
        row: of the dataset.
    """
    config = TypeAdapter(RendererConfig).validate_python(renderer)
    made = create_renderer(tokenizer, config)
    messages = read_messages(row)
    sample = build_training_sample(made, messages, role_to_mask=lambda each: each["role"] == "assistant", tools=[])
    kept = [token for token, is_learned in zip(sample.token_ids, sample.loss_mask, strict=True) if is_learned]
    text: str = tokenizer.decode(kept)
    return text
