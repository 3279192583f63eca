"""Write a task specification for each module: what a kernel must compute, without the code that computes it.

Reads the code of `modules`; writes `specs`, one row per module in input order, and the replies it used. The writer
`template` puts the syntax tree into words; `llm` asks a model, checks what it wrote, and tells it what to correct.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from stages.shared import engine, stage, table
from stages.shared.accounting import balance
from stages.shared.code.syntax import module_classes, parse
from stages.shared.models.budget import Prices, ledger
from stages.shared.models.model_params import ModelParams, request_body
from stages.shared.models.question import Question, State, check_failed, state
from stages.shared.records import TEXTS
from stages.shared.responses.response_store import StoredReply
from stages.shared.responses.responses_file import write_responses
from stages.shared.specs.recorded_inputs import recorded_inputs
from stages.shared.specs.spec_linter import SpecLinter
from stages.shared.specs.template_spec import specification

SPECS = pa.schema(
    [("module_id", pa.string()), ("prompt", pa.string()), ("writer", pa.string()), ("request_keys", TEXTS)]
)


class Params(ModelParams):
    writer: Literal["template", "llm"]
    """Who writes: `template` reads the code, `llm` asks the model."""


def question(module: dict[str, Any], params: Params, prompt: str) -> Question | None:
    """What is asked about a module; None where its code shows no class to describe."""
    tree = parse(module["python_code"])
    classes = [node.name for node in module_classes(tree)] if tree else []
    if tree is None or not classes:
        return None
    entry = module["entry_point"] if module["entry_point"] in classes else classes[-1]
    inputs = recorded_inputs(tree)
    recorded = "; ".join(item.text for item in inputs) or "none"
    # The code is put in last: it may hold what looks like a placeholder.
    text = prompt.replace("{entry_point}", entry).replace("{inputs}", recorded, 1)
    text = text.replace("{python_code}", module["python_code"].strip(), 1)
    linter = SpecLinter(entry, module["python_code"], inputs)
    return Question(request_body(params, text), [params.sample], linter.complaint, feedback=True)


def written_by_model(
    modules: list[dict[str, Any]], params: Params, prompt: str, prices: Prices
) -> tuple[list[dict[str, Any]], list[StoredReply], dict[str, int]]:
    """Rows of `SPECS` that the model wrote, all replies they took, and the modules that failed for good by reason.

    Raises:
        ValueError: modules are left without a reply, or too many failed for good.
    """
    # openai takes a second to import, and the template needs none of it.
    from stages.shared.models.model_session import answered  # noqa: PLC0415

    def asked() -> Iterator[Question]:
        return (found for module in modules if (found := question(module, params, prompt)))

    rows: list[dict[str, Any]] = []
    replies: list[StoredReply] = []
    failed: list[tuple[str, State]] = []
    with answered("write_specs", params.provider, prices, asked) as store:
        for module in modules:
            found = question(module, params, prompt)
            reached = state(found, store) if found else None
            used = reached.replies if reached else []
            replies += used
            if reached and reached.failure:
                failed.append((module["module_id"], reached))
            text = reached.text.strip() if reached and reached.text else None
            keys = [reply.key for reply in used]
            rows.append(
                {"module_id": module["module_id"], "prompt": text, "writer": params.model, "request_keys": keys}
            )
    check_failed("write_specs", failed, len(rows), params.max_failed_fraction)
    return rows, replies, dict(Counter(str(found.failure) for _, found in failed))


def run(params: Params, *, modules: Path, prompt: Path, prices: Path, specs: Path, responses: Path) -> stage.Metrics:
    """Write specifications."""
    price_table = Prices(prices)
    read = ["module_id", "python_code", "entry_point"]
    found = [row for batch in table.batches(modules, read) for row in batch.to_pylist()]
    replies: list[StoredReply] = []
    failed: dict[str, int] = {}
    if params.writer == "llm":
        rows, replies, failed = written_by_model(found, params, prompt.read_text(encoding="utf-8"), price_table)
    else:
        texts = engine.map_rows(specification, found)
        ids = (module["module_id"] for module in found)
        rows = [
            {"module_id": module_id, "prompt": text, "writer": "template", "request_keys": []}
            for module_id, text in zip(ids, texts, strict=True)
        ]
    with table.writing(specs, SPECS) as writer:
        for row in rows:
            writer.write(row)
        used = write_responses(responses, replies)
    texts_written = [row["prompt"] for row in rows if row["prompt"]]
    mean = sum(map(len, texts_written)) / len(texts_written) if texts_written else None
    metrics = {
        **balance(Counter({None: len(rows)})),
        "without_text": len(rows) - len(texts_written),
        "different_texts": len(set(texts_written)),
        "mean_characters": None if mean is None else round(mean, 1),
    }
    if params.writer == "template":
        return metrics
    return metrics | {
        "failed": failed,
        "ledger": ledger(((reply.request["model"], reply.reply) for reply in used), price_table),
    }


if __name__ == "__main__":
    stage.main(run)
