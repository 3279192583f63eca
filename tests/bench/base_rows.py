"""Write rollouts and modules of the size and shape of the published base set.

`python -m tests.bench.base_rows FOLDER` writes `rollouts.jsonl` (the published evals format, one rollout of each module
row) and `modules.jsonl` (KernelBook's columns). With the same seed and Python version they are the same bytes.

The counts, rewards and lengths are the published ones; the rewards of the rows that are not kept, and that these are a
quarter longer, are assumptions. At another number of rows everything is scaled.
"""

import argparse
import math
import random
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist, fmean
from typing import Any, NamedTuple

import msgspec

from tests.bench.library_text import LibraryText, fill, library_text
from tests.bench.torch_module import TorchModule, module_names, torch_module

ROWS = 18_162
KEPT = 7_181
UNIQUE = 2_967
CUTOFF = 0.85
TOKENS = 9_643
"""Mean tokens of a kept row, reasoning included."""

# Of all rows: different names, different codes.
_NAMES = 0.42
_CODES = 0.64
# With these the mean of the kept rewards is 1.006 and their standard deviation 0.05.
_REWARD = NormalDist(1.0048, 0.04)
_LOWEST, _FASTER, _FASTEST = 0.851, 1.2, 2.097
_FASTER_SHARE = 0.0018
_SOME_REWARD_SHARE = 0.06
# With this spread 93.5 % of the kept rows have up to 16,384 tokens.
_LENGTH_SPREAD = 0.404
_OTHERS_LONGER = 1.25
_ANSWER_SHARE = 0.18
_QUOTED_SHARE = 0.1
# Tokens that the chat template adds, and characters a token, measured with a tokenizer of 151,669 entries.
_MARKUP = 15
_PROMPT_DENSITY, _ANSWER_DENSITY, _REASONING_DENSITY = 4.07, 4.04, 4.27

_INSTRUCTIONS = """You are given a PyTorch module. Write a file that computes the same with Triton.

```python
{code}```

What is expected of the file:
- It defines `{name}New(torch.nn.Module)`. Its constructor takes what the constructor of `{name}` takes, its parameters
  and buffers have the same names and shapes, so that a state dict of one loads into the other, and its `forward` takes
  the same arguments.
- The work is done in functions decorated with `@triton.jit` that `forward` launches. PyTorch allocates the outputs and
  gives shapes and strides, nothing more.
- Every load and store is masked where a block may reach over the end. Nothing is assumed of the batch size.
- Inputs that are not contiguous are made so before their pointers are passed on.
- Results agree with the module's to 1e-2, for inputs as `get_inputs` makes them and for others of the same shapes.
- The file imports all that it needs. It has no tests, no example calls and no prints.

Think about the memory traffic first: what is read once, what can stay in registers, which reductions need a second
pass. Then choose the block sizes, and say why in a sentence.

Put the file between <answer> and </answer>."""


class Planned(NamedTuple):
    """What a row will be, before its texts are written."""

    name: int
    """Index of the module's name."""
    variant: int
    """Which of the codes that share the name."""
    reward: float
    tokens: int


def plan(rows: int, seed: int) -> list[Planned]:
    """Decide names, codes, rewards and lengths: quantiles of their distributions, shuffled."""
    draw = random.Random(seed)
    n_kept, n_unique = round(rows * KEPT / ROWS), round(rows * UNIQUE / ROWS)
    n_other, n_names = rows - n_kept, round(rows * _NAMES)
    kept_names = [*range(n_unique), *(int(n_unique * draw.random() ** 3) for _ in range(n_kept - n_unique))]
    other_names = [*range(n_unique, n_names), *(draw.randrange(n_names) for _ in range(n_other - n_names + n_unique))]
    kept_tokens = lengths(n_kept)
    other_tokens = [round(_OTHERS_LONGER * n) for n in lengths(n_other)]
    columns = [(kept_names, kept_rewards(n_kept), kept_tokens), (other_names, other_rewards(n_other), other_tokens)]
    planned = []
    for names, rewards, tokens in columns:
        for values in (names, rewards, tokens):
            draw.shuffle(values)
        planned += list(zip(names, rewards, tokens, strict=True))
    draw.shuffle(planned)
    repeated = (_CODES - _NAMES) / (1 - _NAMES)
    variants = [0] * n_names
    found = []
    for name, reward, n_tokens in planned:
        if variants[name] and draw.random() > repeated:
            variant = draw.randrange(variants[name])
        else:
            variant = variants[name]
            variants[name] += 1
        found.append(Planned(name, variant, reward, n_tokens))
    return found


def kept_rewards(n: int) -> list[float]:
    """Rewards above the cutoff: most around 1, some far above; the lowest and the highest are as published."""
    n_faster = max(1, round(n * _FASTER_SHARE))
    faster = [_FASTER + (_FASTEST - _FASTER) * (i + 1) / n_faster for i in range(n_faster)]
    usual = [min(max(value, _LOWEST), _FASTER) for value in quantiles(_REWARD, n - n_faster - 1)]
    return [round(value, 3) for value in [_LOWEST, *usual, *faster]]


def other_rewards(n: int) -> list[float]:
    """Rewards up to the cutoff, which is one of them: most are 0."""
    n_some = round(n * _SOME_REWARD_SHARE)
    return [0.0] * (n - n_some) + [round(0.02 + (CUTOFF - 0.02) * (i + 1) / n_some, 3) for i in range(n_some)]


def lengths(n: int) -> list[int]:
    """Tokens, log-normal around the published mean."""
    values = [math.exp(value) for value in quantiles(NormalDist(0.0, _LENGTH_SPREAD), n)]
    mean = fmean(values)
    return [round(TOKENS * value / mean) for value in values]


def quantiles(normal: NormalDist, n: int) -> list[float]:
    """`n` values that are spread like the distribution."""
    return [normal.inv_cdf((i + 0.5) / n) for i in range(n)]


def base_rows(rows: int, seed: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each rollout with its row of modules."""
    text = library_text()
    names = module_names()
    random.Random(f"{seed} names").shuffle(names)
    for i, planned in enumerate(plan(rows, seed)):
        name = names[planned.name]
        module = torch_module(name, f"{seed} {name} {planned.variant}", text)
        draw = random.Random(f"{seed} {i}")
        repo_name = f"{draw.choice(names).lower()}/{draw.choice(names).lower()}"
        info = {
            "module_name": name,
            "python_code": module.python_code,
            "triton_code": module.triton_code,
            "uuid": i,
            "repo_name": repo_name,
            "licenses": [draw.choice(("MIT", "MIT", "MIT", "Apache-2.0", "BSD-3-Clause"))],
            "stars": int(10 ** draw.uniform(0, 4)),
            "sha": f"{draw.getrandbits(160):040x}",
            "repo_link": f"https://example.org/{repo_name}",
        }
        texts = conversation(module, planned.tokens, text, draw)
        yield (
            {"example_id": i, **texts, "info": info, **measurements(planned, draw)},
            {
                **info,
                "entry_point": name,
                "synthetic": False,
            },
        )


def conversation(module: TorchModule, tokens: int, text: LibraryText, draw: random.Random) -> dict[str, Any]:
    """Prompt and completion, together of some tokens: what prompt and answer leave is reasoning."""
    prompt = _INSTRUCTIONS.format(code=module.python_code, name=module.name)
    tail = int(tokens * _ANSWER_SHARE * _ANSWER_DENSITY) - len(module.kernel_code)
    answer = f"{module.kernel_code}\n\n{fill(draw, text.definitions, tail)}".rstrip()
    content = f"{draw.choice(text.paragraphs)}\n\n<answer>\n{answer}\n</answer>"
    left = tokens - _MARKUP - len(prompt) / _PROMPT_DENSITY - len(content) / _ANSWER_DENSITY
    message = {
        "role": "assistant",
        "content": content,
        "reasoning": reasoning(draw, text, max(200, int(left * _REASONING_DENSITY))),
    }
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "completion": [message],
        "answer": "",
        "task": "kernelbook",
    }


def reasoning(draw: random.Random, text: LibraryText, size: int) -> str:
    """Prose, and code quoted in between, of `size` characters."""
    parts: list[str] = []
    left = size
    while left > 0:
        parts.append(draw.choice(text.definitions if draw.random() < _QUOTED_SHARE else text.paragraphs))
        left -= len(parts[-1]) + 2
    return "\n\n".join(parts)[:size].strip()


def measurements(planned: Planned, draw: random.Random) -> dict[str, Any]:
    """Reward and times of a rollout."""
    generation_ms, scoring_ms = round(planned.tokens * draw.uniform(9, 30), 3), round(draw.uniform(2_000, 20_000), 3)
    return {
        "reward": planned.reward,
        "generation_ms": generation_ms,
        "scoring_ms": scoring_ms,
        "total_ms": generation_ms + scoring_ms,
        "speedup_reward": max(0.0, planned.reward - 1),
        "num_turns": 1,
        "oai_tools": None,
    }


def write(folder: Path, rows: int, seed: int) -> None:
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder = msgspec.json.Encoder()
    with (folder / "rollouts.jsonl").open("wb") as rollouts, (folder / "modules.jsonl").open("wb") as modules:
        for row, module in base_rows(rows, seed):
            rollouts.write(encoder.encode(row) + b"\n")
            modules.write(encoder.encode(module) + b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.base_rows", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    write(flags.folder, flags.rows, flags.seed)


if __name__ == "__main__":
    main()
