"""A copy of the project with an entry in `rollouts`, and a chat script that knows the kernels of the sample."""

import json
from typing import Any

import yaml

from stages.shared.formats.rollouts import normalise, read_rollouts
from tests.chat_server import Action, Received, chat
from tests.imports import ROOT
from tests.project_copy import ProjectCopy
from tests.rollout.generation import ENTRY

NAME = "sample"
PROMPTS = {"prompts": "data/modules.parquet"}
ROLLOUTS = f"data/rollouts/{NAME}/rollouts.jsonl"


class RolloutProject(ProjectCopy):
    """What a user has after an edit of params.yaml."""

    def enter(self, **knobs: Any) -> None:
        """Set the entry, and make its rollouts the base of the pipeline."""
        file = self.folder / "params.yaml"
        params = yaml.safe_load(file.read_text())
        params["rollouts"] = {NAME: ENTRY | PROMPTS | knobs}
        params["ingest"]["base"] = ROLLOUTS
        file.write_text(yaml.safe_dump(params, sort_keys=False))

    def lines(self, path: str) -> list[dict[str, Any]]:
        """Of a JSONL file."""
        return [json.loads(line) for line in (self.folder / path).read_text().splitlines()]

    def metrics(self, name: str) -> dict[str, Any]:
        """Of a stage."""
        found: dict[str, Any] = json.loads((self.folder / "data" / "metrics" / f"{name}.json").read_text())
        return found


def sample_answers() -> dict[str, list[str]]:
    """The answers to each module of the sample by its code, the best one first."""
    found: dict[str, list[tuple[float, str]]] = {}
    for row in read_rollouts(ROOT / "data" / "sample" / "rollouts"):
        columns = normalise(row.value or {})
        if columns["answer"] and columns["reward"] is not None:
            found.setdefault(columns["python_code"].strip(), []).append((columns["reward"], columns["answer"]))
    return {code: [answer for _, answer in sorted(answers, reverse=True)] for code, answers in found.items()}


ANSWERS = sample_answers()


def sample_kernels(received: Received) -> Action:
    """By the seed: the best answer, the worst one, one that is cut off, none."""
    answers = next((found for code, found in ANSWERS.items() if code in received.prompt), [""])
    match received.body["seed"]:
        case 0:
            return chat(f"One kernel.\n\n<answer>\n{answers[0]}\n</answer>", reasoning="Row by row.")
        case 1:
            return chat(f"<think>Quickly.</think><answer>\n{answers[-1]}\n</answer>")
        case 2:
            return chat(f"<answer>\n{answers[0]}\n</answer>", "length", reasoning="Too long a thought.")
        case _:
            return chat("")
