"""The card of a dataset that a trainer reads: selected rollouts in `train` and `validation`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.shared.cards import limitations, recipe
from stages.shared.cards.card_statistics import lengths_text, rewards_text, seq_len_marks, sources_table, verdicts_text
from stages.shared.cards.column_meanings import ROLLOUTS, columns_table, completion_meaning
from stages.shared.cards.dataset_card import Card, loading_text
from stages.shared.cards.drop_reasons import funnel_text
from stages.shared.cards.hub_licenses import licenses_text
from stages.shared.cards.markdown import bullets, counts_table, numbered
from stages.shared.cards.svg_picture import Bars, Histogram
from stages.shared.datasets.variants import Variant
from stages.shared.length_stats import length_stats

SUMMARY = {
    "kept": "Rollouts that turn a PyTorch module into Triton kernels, with a reward above the cutoff.",
    "unique": "The best rollout of each PyTorch module, turned into Triton kernels, with a reward above the cutoff.",
}
WITH_REASONING = "The assistant message has the answer in `content` and the model's reasoning beside it."
INLINE_REASONING = "The assistant message has the model's reasoning in `<think>` tags, then the answer."
WITHOUT_REASONING = "The assistant message has the answer alone, in `<answer>` tags, without reasoning."
LEVELS = ("low", "medium", "high")
USE = """\
dataset = load_dataset({path})
dataset["train"][0]["completion"]"""
TRAINERS = (
    "`prompt` and `completion` are what TRL's `SFTTrainer` and prime-rl read. Both cut or skip what is longer than "
    "their sequence length, which is short by default: take one from the statistics below."
)


@dataclass(frozen=True)
class Facts:
    """What is known of the rows of this version."""

    knobs: recipe.Knobs
    account: Mapping[str, int]
    """Fates of all records, as `accounting` counts them."""
    rows: pa.Table
    """`difficulty`, `rater`, `n_total_tokens`, `split` of the published rows."""
    told: pa.Table
    """`reward`, `licenses`, `source`, `source_revision` of their records."""
    verdicts: pa.Table
    """`verdict`, `flags` of their records."""
    leaks: Mapping[str, int]
    """Values checked over all datasets, by trait."""
    without_reasoning: int
    """Rows whose source has no reasoning."""
    ingested: Mapping[str, Any]
    decontaminated: Mapping[str, Any]
    """What these stages counted."""


def variant_card(
    name: str, variant: Variant, dataset: Path, schema: pa.Schema, splits: Sequence[Mapping[str, Any]], *, facts: Facts
) -> Card:
    """The card of one dataset.

    Args:
        name: of the dataset.
        variant: its knobs.
        dataset: where it will be loaded from.
        schema: columns of the data.
        splits: as `SplitWriter.close` returns them.
        facts: of its rows.
    """
    key = facts.knobs["completion"]["reasoning_key"]
    licenses = Counter(tuple(names or ()) for names in facts.told["licenses"].to_pylist())
    sources = Counter(zip(facts.told["source"].to_pylist(), facts.told["source_revision"].to_pylist(), strict=True))
    shape = WITHOUT_REASONING if not variant.reasoning else INLINE_REASONING if key == "inline" else WITH_REASONING
    completion = completion_meaning(key, reasoning=variant.reasoning)
    counted = length_stats(facts.rows["n_total_tokens"].to_pylist())
    return Card(
        title=f"KernelBook rollouts, {name}",
        summary=f"{SUMMARY[variant.rows]} {shape}",
        schema=schema,
        splits=splits,
        licenses=licenses,
        sources=sources.keys(),
        panels=[
            Histogram("Rewards", facts.told["reward"].to_pylist()),
            Histogram(
                "Tokens of a row",
                facts.rows["n_total_tokens"].to_pylist(),
                from_zero=True,
                marks=seq_len_marks(counted),
            ),
            Bars("Difficulty", _in_order(Counter(facts.rows["difficulty"].to_pylist()), LEVELS)),
            Bars("Splits", {split["name"]: split["num_examples"] for split in splits}),
        ],
        sections={
            "A row": columns_table(schema, ROLLOUTS | {"completion": completion}),
            "How to use": loading_text(dataset, USE) + f"\n\n{TRAINERS}",
            "How it was made": numbered(_steps(variant, completion, facts)),
            "Funnel": funnel_text([facts.ingested, facts.account], "rollouts of the source", "ingest"),
            "Statistics": _statistics(facts, counted),
            "Licences": licenses_text(licenses, "info."),
            "Limitations": bullets(_limitations(variant, facts, licenses)),
            "Sources": sources_table(sources),
            "Parameters": recipe.knobs_table(facts.knobs),
        },
    )


def _steps(variant: Variant, completion: str, facts: Facts) -> list[str]:
    knobs = facts.knobs
    return [
        recipe.read_rollouts(knobs, facts.ingested),
        recipe.verified(knobs),
        recipe.filtered(knobs),
        recipe.rated(knobs),
        recipe.compared(knobs, facts.decontaminated),
        recipe.measured(knobs),
        recipe.split(knobs),
        recipe.selected(knobs, variant.rows),
        f"`build` writes what is left; `completion` is {completion}.",
    ]


def _statistics(facts: Facts, counted: Mapping[str, Any]) -> str:
    flags = Counter(flag for flags in facts.verdicts["flags"].to_pylist() for flag in flags)
    levels = Counter(zip(facts.rows["difficulty"].to_pylist(), facts.rows["rater"].to_pylist(), strict=True))
    rated = {f"{level}, by {rater}": n for (level, rater), n in sorted(levels.items())}
    checked = ", ".join(f"{n:,} values of `{trait}`" for trait, n in facts.leaks.items())
    parts = {
        "Rewards": rewards_text(facts.told["reward"].to_pylist()),
        "Lengths": lengths_text(counted),
        "Difficulty": counts_table("difficulty", rated),
        "Verification": verdicts_text(Counter(facts.verdicts["verdict"].to_pylist()), flags),
        "Splits": f"{counts_table('split', Counter(facts.rows['split'].to_pylist()))}\n\nChecked over all datasets of "
        f"this version together: {checked}; none stands in two splits.",
    }
    return "\n\n".join(f"### {heading}\n\n{text}" for heading, text in parts.items())


def _limitations(variant: Variant, facts: Facts, licenses: Counter[tuple[str, ...]]) -> list[str]:
    reasoning = limitations.of_reasoning(facts.rows.num_rows, facts.without_reasoning) if variant.reasoning else []
    return [
        *limitations.of_trial(facts.knobs),
        *limitations.of_rewards(facts.ingested),
        *limitations.of_verdicts(facts.knobs, Counter(facts.verdicts["verdict"].to_pylist()), facts.ingested),
        *limitations.of_flags(sum(map(bool, facts.verdicts["flags"].to_pylist()))),
        *limitations.of_difficulty(Counter(facts.rows["rater"].to_pylist())),
        *limitations.of_groups(facts.leaks),
        *limitations.of_benchmarks(facts.knobs, facts.decontaminated),
        *limitations.of_copies(dropped=facts.knobs["select"]["drop_repeats"]),
        *reasoning,
        *limitations.of_licenses(licenses),
        limitations.OWN_TOKENIZER,
        *limitations.of_models(facts.ingested),
    ]


def _in_order(counts: Counter[str], order: Sequence[str]) -> dict[str, int]:
    return {name: counts[name] for name in order if counts[name]}
