"""Count the tokens of every rollout as a trainer sees it, and check that what it should learn is there.

Reads prompts and completions of all `records` and a tokenizer folder; writes `lengths`, one row per record in input
order. Everything goes through the tokenizer's chat template, with the completion as it will be published.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.shared import stage, table
from stages.shared.accounting import balance
from stages.shared.chat_template import ChatTemplate
from stages.shared.completion import CompletionParams, answer_only, published_message
from stages.shared.length_stats import length_stats
from stages.shared.token_counter import DifferentTokensError, TokenCounter

log = logging.getLogger("measure_lengths")
COUNTS = ("n_prompt_tokens", "n_reasoning_tokens", "n_answer_tokens", "n_total_tokens", "n_total_tokens_no_reasoning")
LENGTHS = pa.schema([("row_id", pa.string()), *((name, pa.int64()) for name in COUNTS), ("gate", pa.string())])
READS = ["row_id", "prompt", "content", "reasoning", "answer"]
_BATCH_ROWS = 500
_MARKUP_CHARACTERS = 12
# The generation prompt may have opened the one that is closed at once.
_EMPTY_THOUGHT = re.compile(r"(\A|<think>)\s*</think>")


class Params(stage.Params):
    tokenizer: str
    """Folder of the Hugging Face tokenizer of the model that will be trained."""


@dataclass(frozen=True)
class Rendered:
    """The texts of one row whose tokens are counted, in the order of `COUNTS`, and its gate."""

    texts: tuple[str, ...]
    gate: str


def gate(learned: str | None, content: str, reasoning: str | None) -> str:
    """What a trainer would learn wrong from a row.

    Args:
        learned: the rendered text after the prompt, which the loss sees; None where the template renders the prompt
            differently once the answer follows it.
        content: what the assistant says after its reasoning.
        reasoning: None where the source has none.

    Returns:
        `ok`, `no_reasoning` (the source has none), `prompt_changes`, `missing_...`/`doubled_...` with `reasoning` or
        `answer`, or `empty_thought` (the template writes a thought without text beside the reasoning).
    """
    if learned is None:
        return "prompt_changes"
    content, thought = content.strip(), (reasoning or "").strip()
    # A short text may stand in the other one as well, and is expected that much more often.
    for name, part, other in (("answer", content, thought), ("reasoning", thought, content)):
        expected, found = 1 + other.count(part), learned.count(part)
        if found < expected and part:
            return f"missing_{name}"
        # A word or two may also be part of the template's own markup.
        if found > expected and len(part) > _MARKUP_CHARACTERS:
            return f"doubled_{name}"
    if not thought:
        return "no_reasoning"
    in_learned, *in_parts = (len(_EMPTY_THOUGHT.findall(text)) for text in (learned, content, thought))
    return "empty_thought" if in_learned > sum(in_parts) else "ok"


def render(row: dict[str, Any], template: ChatTemplate, reasoning_key: str) -> Rendered:
    """Render one record with and without its reasoning."""
    prompt, content, reasoning = row["prompt"], row["content"], row["reasoning"]
    asked = template.render(prompt, add_generation_prompt=True)
    total = template.render([*prompt, published_message(content, reasoning, reasoning_key)])
    answer = row["answer"] or ""
    short = template.render([*prompt, {"role": "assistant", "content": answer_only(answer)}])
    learned = total.removeprefix(asked) if total.startswith(asked) else None
    return Rendered((asked, reasoning or "", answer, total, short), gate(learned, content, reasoning))


def measured(records: Path, template: ChatTemplate, counter: TokenCounter, reasoning_key: str) -> Iterator[pa.Table]:
    """Tables of `LENGTHS`, a batch of records each."""
    for batch in table.batches(records, READS, rows=_BATCH_ROWS):
        rendered = [render(row, template, reasoning_key) for row in batch.to_pylist()]
        counts = {name: counter.count([row.texts[i] for row in rendered]) for i, name in enumerate(COUNTS)}
        yield pa.table({"row_id": batch["row_id"], **counts, "gate": [row.gate for row in rendered]}, schema=LENGTHS)


def run(
    params: Params,  # noqa: ARG001  # validated here; dvc.yaml passes its path
    completion: CompletionParams,
    *,
    records: Path,
    tokenizer: Path,
    lengths: Path,
) -> stage.Metrics:
    """Measure sequence lengths."""
    template = ChatTemplate(tokenizer)

    def measure(*, fast: bool) -> pa.Table:
        counter = TokenCounter(tokenizer, fast=fast)
        return pa.concat_tables(
            [LENGTHS.empty_table(), *measured(records, template, counter, completion.reasoning_key)]
        )

    try:
        found = measure(fast=True)
    except DifferentTokensError:
        log.warning("the fast tokenizer differs from the Hugging Face tokenizer here; counting with the latter")
        found = measure(fast=False)
    with table.writing(lengths, LENGTHS) as writer:
        writer.write_table(found)
    return {
        **balance(Counter({None: found.num_rows})),
        "gate": dict(Counter(found["gate"].to_pylist())),
        **{name.removeprefix("n_"): length_stats(found[name].to_pylist()) for name in COUNTS[3:]},
    }


if __name__ == "__main__":
    stage.main(run)
