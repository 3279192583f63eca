"""Ask a model for kernels: some completions for each module, or for each specification.

Reads `modules` and, where the entry's `prompts` is another table, the prompts in it; writes `completions`, one line per
rollout in the order of modules, and the replies it used. A completion that is cut off or empty is a rollout like any
other: it is kept, not asked for again.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stages.rollout.rollout_params import Rollout, Rollouts
from stages.shared import stage, table
from stages.shared.accounting import balance
from stages.shared.atomic import replacing
from stages.shared.completion import published_message, split_reasoning
from stages.shared.models.budget import Prices, ledger, token_usage
from stages.shared.models.model_params import request_body
from stages.shared.models.question import Question, State, check_failed, state
from stages.shared.responses.responses_file import responses_file
from stages.shared.settings import environment, project_root, store_folder

if TYPE_CHECKING:
    from stages.shared.responses.response_store import StoredReply

FACTS = (
    "module_name",
    "entry_point",
    "python_code",
    "triton_code",
    "repo_name",
    "licenses",
    "stars",
    "sha",
    "repo_link",
)
"""Columns of a module that its rollouts carry along."""
_TIMEOUT_S = 3600.0
"""A long completion on a busy server; other stages wait a quarter of that."""
_SEEDS_PER_SAMPLE = 1_000_000
"""A server that keeps to seeds would answer another sample with the same texts."""


class Texts(NamedTuple):
    """What prompts are made of."""

    template: str
    """For a module's code."""
    answer_format: str
    """How to answer: the end of each prompt."""


class Task(NamedTuple):
    """One rollout: a module, the number of its copy from 0, and the request, None where nothing can be asked."""

    example_id: int
    module: dict[str, Any]
    copy: int
    question: Question | None


def tasks(params: Rollout, modules: Path, prompts: Path, texts: Texts) -> Iterator[Task]:
    """The rollouts in the order of modules.

    Args:
        params: of this set of rollouts.
        modules: the table of modules.
        prompts: the same table, or one with `module_id` and `prompt`.
        texts: what prompts are made of.
    """
    given: dict[str, str | None] = {}
    if prompts != modules:
        columns = table.read(prompts, ["module_id", "prompt"]).to_pydict()
        given = dict(zip(columns["module_id"], columns["prompt"], strict=True))
    rows = (row for batch in table.batches(modules, ["module_id", *FACTS, "uuids"]) for row in batch.to_pylist())
    for example_id, module in enumerate(islice(rows, params.limit)):
        text = instruction(module, texts.template) if prompts == modules else given.get(module["module_id"])
        asked = f"{text.strip()}\n\n{texts.answer_format}" if text and text.strip() else None
        for copy in range(params.rollouts_per_example):
            yield Task(example_id, module, copy, question(params, asked, copy) if asked else None)


def instruction(module: dict[str, Any], template: str) -> str | None:
    """The prompt for a module's code, None where it shows no class to replace."""
    if not module["entry_point"]:
        return None
    # The code is put in last: it may hold what looks like a placeholder.
    text = template.replace("{entry_point}", module["entry_point"])
    return text.replace("{python_code}", module["python_code"].strip(), 1)


def question(params: Rollout, prompt: str, copy: int) -> Question:
    """The request of one rollout."""
    body = request_body(params, prompt)
    if params.top_p is not None:
        body["top_p"] = params.top_p
    if params.seed is not None:
        body["seed"] = params.seed + _SEEDS_PER_SAMPLE * params.sample + copy
    return Question(body, [params.sample, copy], lambda _: None, as_it_comes=True)


def lock(params: Rollout) -> str:
    """Name of the lock that all entries share whose requests may be the same."""
    return f"generate.{re.sub(r'[^A-Za-z0-9]+', '-', params.model)[:100]}"


def completion(task: Task, reply: "StoredReply") -> dict[str, Any]:
    """The line of `completions` for a reply; a field that the server left out is null."""
    choice = reply.reply["choices"][0]
    content, reasoning = split_reasoning(choice["message"])
    return {
        "example_id": task.example_id,
        "copy": task.copy,
        "module_id": task.module["module_id"],
        "module": {name: task.module[name] for name in FACTS} | {"uuid": task.module["uuids"][0]},
        "prompt": reply.request["messages"],
        "completion": [published_message(content, reasoning, "reasoning_content")],
        "finish_reason": choice.get("finish_reason"),
        "is_truncated": choice.get("finish_reason") == "length",
        "usage": reply.reply.get("usage"),
        "model": reply.request["model"],
        "seed": reply.request.get("seed"),
        "generation_ms": reply.elapsed_ms,
        "request_key": reply.key,
    }


def reasoning_kind(line: dict[str, Any]) -> str:
    """Whether the reasoning of a line came along; `hidden` where the server counts tokens that it does not show."""
    if line["completion"][0].get("reasoning_content"):
        return "present"
    return "hidden" if token_usage(line).get("reasoning_tokens") else "none"


def run(
    rollouts: Rollouts,
    *,
    name: str,
    modules: Path,
    prompts: Path,
    template: Path,
    answer_format: Path,
    prices: Path,
    completions: Path,
    responses: Path,
) -> stage.Metrics:
    """Generate completions."""
    # openai takes a second to import.
    from stages.rollout.served_model import ServedModel  # noqa: PLC0415
    from stages.shared.models.model_session import answered  # noqa: PLC0415

    params = rollouts.entry(name)
    texts = Texts(template.read_text(encoding="utf-8"), answer_format.read_text(encoding="utf-8"))
    found = partial(tasks, params, modules, prompts, texts)

    def questions() -> Iterator[Question]:
        return (task.question for task in found() if task.question)

    if not any(True for _ in questions()):
        raise ValueError(f"rollouts.{name}.prompts: {prompts} has no prompt for any module that is asked about")
    price_table = Prices(prices)
    server = None
    if params.serve == "managed":
        root, env = project_root(), environment(project_root())
        server = ServedModel(params.model, params.flags, env, store_folder(root, env) / f"serve.{name}.log")
    fates = Counter[str | None]()
    counts = {counted: Counter[str]() for counted in ("finish_reason", "reasoning")}
    failed: list[tuple[str, State]] = []
    spent: list[tuple[str, dict[str, Any]]] = []
    session = answered(lock(params), params.provider, price_table, questions, server=server, timeout_s=_TIMEOUT_S)
    with session as store, replacing(completions) as half, half.open("wb") as lines, responses_file(responses) as use:
        for task in found():
            reached = state(task.question, store) if task.question else State(failure="no_prompt")
            fates[reached.failure] += 1
            for reply in reached.replies:
                if use(reply):
                    # Without its texts, which do not fit into memory all together.
                    told = {key: value for key, value in reply.reply.items() if key != "choices"}
                    spent.append((reply.request["model"], told))
            if reached.failure is None:
                line = completion(task, reached.replies[-1])
                counts["finish_reason"][line["finish_reason"] or "none"] += 1
                counts["reasoning"][reasoning_kind(line)] += 1
                lines.write(msgspec.json.encode(line, order="sorted") + b"\n")
            elif task.question:
                failed.append((f"{task.module['module_id']}, copy {task.copy}", reached))
        check_failed(f"rollouts.{name}", failed, fates.total(), params.max_failed_fraction)
    counted = {key: dict(values) for key, values in counts.items()}
    return {**balance(fates), **counted, "ledger": ledger(spent, price_table)}


if __name__ == "__main__":
    stage.main(run)
