"""The numbers of a dataset in words and tables."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stages.shared.cards.markdown import counts_table, markdown_table, rows_text


def rewards_text(rewards: Sequence[float], missing: int = 0) -> str:
    """Range, mean and median of the rewards; `missing` is the number of rows without one."""
    without = f" {rows_text(missing)} without." if missing else ""
    if not rewards:
        return f"No rewards.{without}"
    # A sum of the largest numbers, also of two, is none.
    mean = math.fsum(reward / len(rewards) for reward in rewards)
    median = statistics.median_low(rewards) / 2 + statistics.median_high(rewards) / 2
    return f"From {min(rewards):.3f} to {max(rewards):.3f}, {mean:.3f} on average, median {median:.3f}.{without}"


def lengths_text(stats: Mapping[str, Any]) -> str:
    """Percentiles and, for each recommended `seq_len`, what packing makes of the rows; from `length_stats`."""
    if not stats["rows"]:
        return "No tokens."
    names, counts = [f"{name} %" for name in stats["percentiles"]], list(stats["percentiles"].values())
    packed = [
        (seq_len, found["rows"], found["sequences"], f"{found['efficiency']:.1%}")
        for seq_len, found in (
            (n, stats["packing"][str(n)]) for n in sorted(set(stats["recommended_seq_len"].values()))
        )
    ]
    return (
        f"{stats['total_tokens']:,} tokens through the chat template, {stats['mean']:,.0f} a row on average.\n\n"
        f"{markdown_table(names, [counts])}\n\n"
        "The smallest multiples of 1,024 that hold 99, 99.5 and 100 % of the rows, and what best-fit packing makes of "
        "the rows that fit:\n\n" + markdown_table(["seq_len", "rows that fit", "packed sequences", "filled"], packed)
    )


def seq_len_marks(stats: Mapping[str, Any]) -> dict[str, float]:
    """The recommended `seq_len` as the mark of a histogram; the one that holds all rows where it is no longer."""
    if not stats["rows"]:
        return {}
    most, all_rows = stats["recommended_seq_len"]["99"], stats["recommended_seq_len"]["100"]
    return {f"seq_len {most:,} holds {'all' if most == all_rows else '99 %'}": most}


def verdicts_text(verdicts: Counter[str], flags: Counter[str]) -> str:
    """Rows by verdict and, where there are any, by flag."""
    tables = [counts_table("verdict", dict(sorted(verdicts.items())))]
    if flags:
        tables += ["Flags (a row may have several):", counts_table("flag", dict(sorted(flags.items())))]
    return "\n\n".join(tables)


def sources_table(sources: Mapping[tuple[str, str | None], int]) -> str:
    """Rows by file or Hub dataset and revision."""
    ordered = sorted(sources.items(), key=lambda item: (item[0][0], item[0][1] or ""))
    return markdown_table(["source", "revision", "rows"], [(name, sha or "", n) for (name, sha), n in ordered])
