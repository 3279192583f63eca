"""Rate how hard each kept module is to write as a kernel: low, medium or high.

Reads the modules' code of `records` for the rows that `kept` keeps; writes `difficulty`, one row per kept row in input
order, and the replies it used. The rater `static` counts heavy operations in the syntax tree; `llm` asks a model, and
keeps the static rating beside it.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from stages.shared import stage, table
from stages.shared.accounting import balance
from stages.shared.code.static_difficulty import static_difficulty
from stages.shared.difficulty_votes import agreement, judge_difficulty, majority, parse_difficulty
from stages.shared.models.budget import Prices, ledger
from stages.shared.models.model_params import ModelParams, request_body
from stages.shared.models.question import Question, State, check_failed, state
from stages.shared.records import TEXTS
from stages.shared.responses.response_store import StoredReply
from stages.shared.responses.responses_file import write_responses

DIFFICULTY = pa.schema(
    [
        ("row_id", pa.string()),
        ("difficulty", pa.string()),
        ("rater", pa.string()),
        ("evaluation_raw", pa.string()),
        ("static_difficulty", pa.string()),
        ("votes", TEXTS),
        ("agreement", pa.float64()),
        ("request_keys", TEXTS),
    ]
)
SOLUTION = "\nA solution that is known to be correct:\n\n```python\n{answer}\n```\n"
SCHEMA = {
    "type": "object",
    "properties": {"difficulty": {"type": "string", "enum": ["low", "medium", "high"]}},
    "required": ["difficulty"],
    "additionalProperties": False,
}


class Params(ModelParams):
    rater: Literal["static", "llm"]
    """Who rates: `static` reads the code, `llm` asks the model."""
    votes: int = Field(ge=1, le=15)
    """Replies per row; the majority counts."""
    show_solution: bool
    """Show the rater the answer too; without it all rows of a module share one request."""
    structured: bool
    """Ask for a JSON reply by `response_format`, where the server supports it."""


def questions(row: dict[str, Any], params: Params, prompt: str) -> list[Question]:
    """What is asked about a record, one question per vote."""
    solution = SOLUTION.replace("{answer}", row["answer"] or "") if params.show_solution else ""
    # The code is put in last: it may hold what looks like a placeholder.
    text = prompt.replace("{solution}", solution, 1).replace("{python_code}", row["python_code"].strip(), 1)
    body = request_body(params, text)
    if params.structured:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "difficulty", "strict": True, "schema": SCHEMA},
        }
    return [Question(body, [params.sample, vote], judge_difficulty) for vote in range(params.votes)]


def rating(states: list[State]) -> dict[str, Any]:
    """Columns of a row that a model rated; null difficulty where a vote failed for good."""
    keys = [reply.key for found in states for reply in found.replies]
    texts = [found.text for found in states if found.text is not None]
    raw = "\n".join(texts) or "; ".join(found.failure or "" for found in states)
    votes = [level for text in texts if (level := parse_difficulty(text))]
    level, share = majority(votes) if votes and len(votes) == len(states) else (None, None)
    return {"difficulty": level, "votes": votes, "agreement": share, "evaluation_raw": raw, "request_keys": keys}


def kept_rows(records: Path, kept: Path) -> Iterator[dict[str, Any]]:
    """The records that are kept, with what a rater reads, in input order."""
    verdicts = table.read(kept, ["row_id", "kept"])
    position = 0
    for batch in table.batches(records, ["row_id", "module_id", "python_code", "entry_point", "answer"]):
        here = verdicts.slice(position, batch.num_rows)
        table.assert_same_keys(batch["row_id"], here["row_id"], "records and kept")
        position += batch.num_rows
        yield from batch.filter(here["kept"].combine_chunks()).to_pylist()


def static_rating(row: dict[str, Any], rated: dict[str, tuple[str | None, str]]) -> dict[str, Any]:
    """Columns of a row by the static rater; `rated` holds the modules seen so far and is filled on the way."""
    if row["module_id"] not in rated:
        rated[row["module_id"]] = static_difficulty(row["python_code"], row["entry_point"])
    level, reason = rated[row["module_id"]]
    votes = [level] if level else []
    given = {"difficulty": level, "static_difficulty": level, "votes": votes, "agreement": 1.0 if level else None}
    return {"row_id": row["row_id"], "rater": "static", "evaluation_raw": reason, "request_keys": [], **given}


def run(
    params: Params, *, records: Path, kept: Path, prompt: Path, prices: Path, difficulty: Path, responses: Path
) -> stage.Metrics:
    """Rate difficulty."""
    template, price_table = prompt.read_text(encoding="utf-8"), Prices(prices)
    rated: dict[str, tuple[str | None, str]] = {}
    rows: list[dict[str, Any]] = []
    replies: list[StoredReply] = []
    failed: list[tuple[str, State]] = []
    with ExitStack() as stack:
        store = None
        if params.rater == "llm":
            # openai takes a second to import, and the static rater needs none of it.
            from stages.shared.models.model_session import answered  # noqa: PLC0415

            def asked() -> Iterator[Question]:
                return chain.from_iterable(questions(row, params, template) for row in kept_rows(records, kept))

            store = stack.enter_context(answered("rate_difficulty", params.provider, price_table, asked))
        for row in kept_rows(records, kept):
            columns = static_rating(row, rated)
            if store:
                states = [state(question, store) for question in questions(row, params, template)]
                columns |= {"rater": params.model, **rating(states)}
                replies += [reply for found in states for reply in found.replies]
                failed += [(row["row_id"], found) for found in states if found.failure][:1]
            rows.append(columns)
    check_failed("rate_difficulty", failed, len(rows), params.max_failed_fraction)
    with table.writing(difficulty, DIFFICULTY) as writer:
        for columns in rows:
            writer.write(columns)
        used = write_responses(responses, replies)
    metrics = {
        **balance(Counter({None: len(rows)})),
        "difficulty": dict(Counter(row["difficulty"] or "unrated" for row in rows)),
        "modules": len(rated),
    }
    if params.rater == "static":
        return metrics
    levels = ((row["static_difficulty"], row["difficulty"]) for row in rows)
    return metrics | {
        "failed": dict(Counter(found.failure for _, found in failed)),
        "agreement_with_static": agreement(pair for pair in levels if all(pair)),
        "ledger": ledger(((reply.request["model"], reply.reply) for reply in used), price_table),
    }


if __name__ == "__main__":
    stage.main(run)
