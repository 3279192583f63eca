"""Show a run: the way from base rows to published rows, and what a knob changes on it.

Reads narrow tables and the metrics of the stages before, never a dataset, so that a sweep that ends here writes none.
Writes a page, data for `dvc plots`, and the few numbers that experiments are compared by.
"""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from stages.shared import stage, table
from stages.shared.atomic import replacing
from stages.shared.datasets.variants import Variants
from stages.shared.html_page import page, section

_BIN = 0.05
STAGES = (
    *(
        "ingest_modules",
        "ingest",
        "verify",
        "filter_reward",
        "rate_difficulty",
        "write_specs",
        "cluster_modules",
        "dedupe",
    ),
    *("decontaminate", "measure_lengths", "split", "select", "recommend_seq_len"),
)
"""Stages whose metrics the report reads, in the order in which it shows them."""


def funnel(accounts: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """How many rows each drop reason takes, on the way from all rows to those of a dataset.

    Args:
        accounts: accounting of each dataset, as `select` writes it.

    Returns:
        One item per dataset and step: `dataset`, `step` (`rows_in`, a drop reason, `kept`), `rows` (dropped at the
        step, or there at the ends).
    """
    steps = []
    for dataset, account in accounts.items():
        dropped = {name.removeprefix("dropped_"): n for name, n in account.items() if name.startswith("dropped_")}
        order = {"rows_in": account["rows_in"], **dropped, "kept": account["kept"]}
        steps += [{"dataset": dataset, "step": step, "rows": n} for step, n in order.items()]
    return steps


def funnel_table(steps: list[dict[str, Any]], datasets: list[str]) -> list[tuple[Any, ...]]:
    """The funnel with a line per step and a column per dataset."""
    rows = {(item["dataset"], item["step"]): item["rows"] for item in steps}
    names = list(dict.fromkeys(item["step"] for item in steps))
    names = sorted(names, key=lambda step: (step == "kept", step != "rows_in"))
    return [(step, *(rows.get((dataset, step), 0) for dataset in datasets)) for step in names]


def histogram(rewards: list[float | None], kept: list[bool]) -> list[dict[str, Any]]:
    """Rows by reward in bins of 0.05 (named by their lower end) and by fate."""
    bins = Counter((_bin(reward), keep) for reward, keep in zip(rewards, kept, strict=True) if reward is not None)
    named = {True: "kept", False: "dropped"}
    return [
        {"reward": round(step * _BIN, 2), "fate": named[keep], "rows": n} for (step, keep), n in sorted(bins.items())
    ]


def length_bins(lengths: list[int]) -> list[dict[str, Any]]:
    """Rows by total tokens, in bins that double (named by their upper end)."""
    bins = Counter(1 << max(length - 1, 0).bit_length() for length in lengths)
    return [{"tokens_up_to": limit, "rows": n} for limit, n in sorted(bins.items())]


def difficulty_by_reward(levels: dict[str, str | None], rewards: dict[str, float]) -> list[dict[str, Any]]:
    """Kept rows by difficulty and reward, to see whether hard modules are rewarded less."""
    found = Counter((level or "unrated", _bin(rewards[row_id])) for row_id, level in levels.items())
    return [
        {"difficulty": level, "reward": round(step * _BIN, 2), "rows": n} for (level, step), n in sorted(found.items())
    ]


def run(
    variants: Variants,
    *,
    stage_metrics: list[Path],
    kept: Path,
    lengths: Path,
    difficulty: Path,
    page_folder: Path,
    plots: Path,
) -> stage.Metrics:
    """Report a run."""
    found = {file.stem: json.loads(file.read_text()) for file in stage_metrics}
    assert list(found) == list(STAGES), "dvc.yaml passes the metrics of other stages than the report shows"
    fates = table.read(kept, ["row_id", "reward", "kept"])
    rewards, keep = fates["reward"].to_pylist(), fates["kept"].to_pylist()
    rated = dict(zip(*table.read(difficulty, ["row_id", "difficulty"]).to_pydict().values(), strict=True))
    data = {
        "funnel": funnel(found["select"]["variants"]),
        "rewards": histogram(rewards, keep),
        "lengths": length_bins(table.column(lengths, "n_total_tokens")),
        "difficulty": difficulty_by_reward(rated, dict(zip(fates["row_id"].to_pylist(), rewards, strict=True))),
    }
    for name, points in data.items():
        with replacing(plots / f"{name}.json") as partial:
            partial.write_text(json.dumps(points, indent=1) + "\n")
    sections = [
        section("Rows", ["", *variants.root], funnel_table(data["funnel"], list(variants.root))),
        *(section(name, ["metric", "value"], _flat(found[name]), folded=True) for name in STAGES),
    ]
    with replacing(page_folder) as folder:
        folder.mkdir()
        (folder / "index.html").write_text(page("Kernel SFT pipeline: report", sections), encoding="utf-8")
    published = {name: account["kept"] for name, account in found["select"]["variants"].items()}
    seq_len = found["recommend_seq_len"]["variants"]
    return {
        "rows_in": len(rewards),
        "kept": len(rewards),
        "published": published,
        "tokens": {name: seq_len[name].get("total_tokens", 0) for name in published},
        "seq_len_99": {name: seq_len[name].get("recommended_seq_len", {}).get("99") for name in published},
    }


def _bin(reward: float) -> int:
    # A reward that stands on a bound belongs to the bin above it: 0.85 / 0.05 is below 17 in binary.
    return math.floor(reward / _BIN + 1e-9)


def _flat(metrics: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in metrics.items():
        name = f"{prefix}{key}"
        rows += _flat(value, f"{name}.") if isinstance(value, dict) else [(name, value)]
    return rows


if __name__ == "__main__":
    stage.main(run)
