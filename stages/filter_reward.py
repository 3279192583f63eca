"""Keep the rollouts whose reward is above the cutoff.

Reads rewards and answers of `records` and the verdicts; writes `kept`, one row for every record in input order, with
the reason where it is dropped.
"""

import math
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from stages.shared import stage, table
from stages.shared.accounting import account
from stages.shared.kernels.flags import Flag

KEPT = pa.schema(
    [("row_id", pa.string()), ("reward", pa.float64()), ("kept", pa.bool_()), ("drop_reason", pa.string())]
)
REFUSED = {"not_wrong": {"wrong"}, "ok": {"wrong", "unknown"}}


class Params(stage.Params):
    cutoff: float = Field(allow_inf_nan=False)
    """Keep rows with a reward strictly above this."""
    drop_flags: list[Flag]
    """Drop rows that `verify` gave any of these flags."""
    require_verdict: Literal["none", "not_wrong", "ok"]
    """Drop rows by their verdict: never, when it is `wrong`, or unless it is `ok`."""


def drop_reason(row: dict[str, Any], params: Params) -> str | None:
    """Why a row is dropped, None when it is kept.

    The reward comes first, so that the other reasons count only rows that the cutoff would have kept.
    """
    if row["reward"] is None or math.isnan(row["reward"]):
        return "no_reward"
    if row["reward"] <= params.cutoff:
        return "low_reward"
    if not row["has_answer"]:
        return "no_answer"
    if params.require_verdict != "none" and row["verdict"] in REFUSED[params.require_verdict]:
        return "verdict"
    return next((f"flag_{flag}" for flag in params.drop_flags if flag in row["flags"]), None)


def run(params: Params, *, records: Path, verdicts: Path, kept: Path) -> stage.Metrics:
    """Filter rollouts by reward."""
    rows = table.read(records, ["row_id", "reward", "answer_format"])
    checked = table.read(verdicts, ["row_id", "verdict", "flags"])
    table.assert_same_keys(rows["row_id"], checked["row_id"], "records and verdicts")
    joined = checked.append_column("reward", rows["reward"]).append_column(
        "has_answer", rows["answer_format"].is_valid()
    )
    fates = [(row, drop_reason(row, params)) for row in joined.to_pylist()]
    reasons = [reason for _, reason in fates]
    columns = {
        "row_id": rows["row_id"],
        "reward": rows["reward"],
        "kept": [r is None for r in reasons],
        "drop_reason": reasons,
    }
    table.write(kept, KEPT, columns)
    above = [row for row, _ in fates if row["reward"] is not None and row["reward"] > params.cutoff]
    rewards = [row["reward"] for row, reason in fates if reason is None]
    return {
        **account(reasons),
        "flag_above_cutoff": dict(Counter(flag for row in above for flag in row["flags"])),
        "reward_mean": round(math.fsum(rewards) / len(rewards), 6) if rewards else None,
        "reward_min": min(rewards, default=None),
        "reward_max": max(rewards, default=None),
    }


if __name__ == "__main__":
    stage.main(run)
