"""The params section `rollouts`: one entry per run or model, each a set of rollouts."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, RootModel, model_validator

from stages.shared.models.model_params import ModelParams
from stages.shared.stage import EntryName

_OWN_FLAGS = frozenset({"--host", "--port", "--api-key", "--served-model-name"})


def _one_flag(text: str) -> str:
    if re.match(r"--?[\w.-]+\s", text):
        raise ValueError("expected one word per item: --flag=value, or the flag and its value as two items")
    if text.split("=", maxsplit=1)[0].replace("_", "-") in _OWN_FLAGS:
        raise ValueError(f"{', '.join(sorted(_OWN_FLAGS))} are set by the stage")
    return text


class Rollout(ModelParams):
    """How a set of rollouts is made and scored."""

    prompts: str
    """Table that is asked about: modules.parquet, or specs.parquet, whose prompts are used."""
    max_tokens: int | None = Field(ge=1)
    """Most tokens of a completion, reasoning included; one that is cut off is kept as it is. null leaves it to the
    server."""
    top_p: float | None = Field(gt=0.0, le=1.0)
    """Share of the probability that is sampled from; null leaves it to the server."""
    rollouts_per_example: int = Field(ge=1)
    """Completions per module."""
    seed: int | None
    """Seed of the first completion of a module, the next has one more, another sample a million more; null for servers
    that take none."""
    limit: int | None = Field(ge=1)
    """Ask about the first modules only, for a quick trial; null for all."""
    serve: Literal["external", "managed"]
    """external: servers that run already. managed: the stage runs `vllm serve` while there is something to ask."""
    flags: list[Annotated[str, AfterValidator(_one_flag)]]
    """Flags of a managed `vllm serve`."""
    mode: Literal["interpret", "cuda"]
    """How completions are judged: on the CPU under Triton's interpreter, or run and timed on a GPU."""
    formula: Literal["coverage", "speedup"]
    """The reward: coverage counts what is left to PyTorch, speedup needs mode cuda."""
    timeout_s: float = Field(gt=0.0, allow_inf_nan=False)
    """CPU seconds that a completion may take when it is judged."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.serve == "managed" and self.provider != "vllm":
            raise ValueError("serve: managed runs vLLM, expected provider: vllm")
        if self.serve == "external" and self.flags:
            raise ValueError("flags are those of serve: managed")
        if self.formula == "speedup" and self.mode != "cuda":
            raise ValueError("formula: speedup is measured on a GPU, expected mode: cuda")
        return self


class Rollouts(RootModel[dict[EntryName, Rollout]]):
    """The params section `rollouts`, by name."""

    model_config = ConfigDict(frozen=True)

    def entry(self, name: str) -> Rollout:
        """Of a name.

        Raises:
            ValueError: there is none.
        """
        if name not in self.root:
            raise ValueError(f"params.yaml: rollouts: there is no entry {name}")
        return self.root[name]
