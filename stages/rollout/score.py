"""Judge completions and reward them.

Reads `completions`; writes `scored`, one row per completion in the format of published evals, which `ingest` reads, and
the judgements it used. A completion that was cut off is not judged: its reward is 0, whatever stands in it.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from stages.rollout.rewards import Formula, reward
from stages.rollout.rollout_params import Rollout, Rollouts
from stages.shared import stage
from stages.shared.accounting import balance
from stages.shared.atomic import replacing
from stages.shared.completion import find_answer
from stages.shared.kernels.failures import explain
from stages.shared.kernels.judgements import judged
from stages.shared.kernels.verdict import Job, Judgement
from stages.shared.responses.responses_file import responses_file

if TYPE_CHECKING:
    from stages.shared.responses.response_store import StoredReply

CUT_OFF: dict[str, Any] = {
    "verdict": None,
    "flags": [],
    "torch_ops": [],
    "detail": explain("not_looked_at", "the completion was cut off"),
    "speedup": None,
}
"""What a row says of a completion that is not judged."""
_TOLD = ("verdict", "flags", "torch_ops", "detail", "speedup")
_CARRIED = ("copy", "is_truncated", "finish_reason", "usage", "model", "seed", "request_key")


def lines(completions: Path) -> Iterator[dict[str, Any]]:
    """The lines of `completions`, one at a time."""
    with completions.open("rb") as file:
        for line in file:
            yield msgspec.json.decode(line)


def answer_of(line: dict[str, Any]) -> str | None:
    """The code of a completion, None where there is none."""
    return find_answer(line["completion"][0]["content"])[0]


def job(line: dict[str, Any], answer: str | None) -> Job | None:
    """What is judged of a completion, None where it was cut off."""
    if line["is_truncated"]:
        return None
    module = line["module"]
    return Job(module["python_code"], module["entry_point"], module["module_name"], answer)


def worth(judgement: Judgement, formula: Formula) -> float | None:
    """The reward of an answer; None where it is unknown, also where a right answer could not be timed."""
    untimed = formula == "speedup" and judgement.verdict == "ok" and judgement.speedup is None
    return None if untimed else reward(judgement, formula)


def row(
    line: dict[str, Any], answer: str | None, params: Rollout, name: str, stored: "StoredReply | None"
) -> dict[str, Any]:
    """The rollout of a line of `completions`.

    Args:
        line: of `completions`.
        answer: its code.
        params: of this set of rollouts.
        name: of this set of rollouts.
        stored: its judgement, None where there is none.
    """
    judgement = Judgement(**stored.reply) if stored else None
    told = asdict(judgement) if judgement else CUT_OFF
    generation, scoring = line["generation_ms"], stored.elapsed_ms if stored else 0.0
    return {
        "example_id": line["example_id"],
        "prompt": line["prompt"],
        "completion": line["completion"],
        "answer": answer,
        "task": name,
        "info": line["module"],
        "reward": worth(judgement, params.formula) if judgement else 0.0,
        "speedup_reward": worth(judgement, "speedup") if judgement and params.mode == "cuda" else None,
        "generation_ms": generation,
        "scoring_ms": scoring,
        "total_ms": None if generation is None or scoring is None else round(generation + scoring, 1),
        "num_turns": 1,
        **{field: line[field] for field in _CARRIED},
        **{field: told[field] for field in _TOLD},
        "mode": params.mode,
        "formula": params.formula,
    }


def run(rollouts: Rollouts, *, name: str, completions: Path, scored: Path, responses: Path) -> stage.Metrics:
    """Score completions."""
    params = rollouts.entry(name)

    def jobs() -> Iterator[Job]:
        return (found for line in lines(completions) if (found := job(line, answer_of(line))))

    rewards: list[float] = []
    counts = {counted: Counter[str]() for counted in ("verdict", "flag")}
    n_rows = n_judgements = 0
    session = judged(f"score.{name}", params.mode, params.timeout_s, jobs)
    with session as judgements, replacing(scored) as half, half.open("wb") as rows, responses_file(responses) as use:
        for line in lines(completions):
            answer = answer_of(line)
            found = job(line, answer)
            stored = judgements.of(found) if found else None
            if stored:
                n_judgements += use(stored)
            written = row(line, answer, params, name, stored)
            n_rows += 1
            counts["verdict"][written["verdict"] or "cut_off"] += 1
            counts["flag"].update(written["flags"])
            rewards += [] if written["reward"] is None else [written["reward"]]
            rows.write(msgspec.json.encode(written, order="sorted") + b"\n")
    mean = math.fsum(rewards) / len(rewards) if rewards else None
    return {
        **balance(Counter({None: n_rows})),
        **{key: dict(values) for key, values in counts.items()},
        "judgements": n_judgements,
        "without_reward": n_rows - len(rewards),
        "mean_reward": None if mean is None else round(mean, 4),
    }


if __name__ == "__main__":
    stage.main(run)
