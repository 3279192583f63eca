"""Say whether chat templates show reasoning to a trainer, and under which `completion.reasoning_key`.

    python -m stages check_template qwen3.jinja path/of/a/tokenizer ...

A template that does not know a key drops it without a word, and the model learns to think nothing. This renders a
small conversation with each template and key, by the rules by which `measure_lengths` looks at every row:

ok              reasoning and answer stand once in what the loss sees
missing_*       one of them does not
doubled_*       it stands there more than once
empty_thought   the template writes a thought of its own, without text, beside the reasoning
prompt_changes  the template renders the prompt differently once the answer follows it
refused         the template does not take such a conversation
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from stages.measure_lengths import render
from stages.shared.cards.markdown import markdown_table
from stages.shared.chat_template import ChatTemplate
from stages.shared.completion import CompletionParams, published_message

log = logging.getLogger("check_template")
KEYS = ("reasoning_content", "reasoning", "thinking", "inline")
"""What `completion.reasoning_key` may be, the best first: `inline` leaves the format of thoughts to the dataset."""
HEADER = ("template", "reasoning_key", "one turn", "later turn", "earlier reasoning", "row without reasoning")
_ASKED = {"role": "user", "content": "Rewrite this PyTorch module with Triton kernels."}
_CONTENT = "<answer>\nclass ModelNew(nn.Module):\n    pass\n</answer>"
_THOUGHT = "First the shapes, then one program for each row."
_EARLIER = "An earlier thought about strides."


@dataclass(frozen=True)
class Finding:
    """What becomes of a conversation under one key."""

    template: Path
    key: str
    one_turn: str
    """A gate of `measure_lengths`, or `refused`."""
    later_turn: str
    """The same, after an earlier question and answer."""
    earlier_reasoning: str
    """Of an earlier answer that has reasoning too: `kept`, `dropped` or `refused`."""
    without_reasoning: str
    """A row that has none; beside rows that have it its key is null: `ok`, `changed` or `refused`."""
    refusals: tuple[str, ...] = ()
    """What the template says to the rows that it refuses, of one turn and of a later one."""

    def cells(self) -> tuple[object, ...]:
        """A row of the table, in the order of `HEADER`."""
        gates = (self.one_turn, self.later_turn, self.earlier_reasoning, self.without_reasoning)
        return (self.template, self.key, *gates)


def findings(path: Path, keys: Sequence[str]) -> list[Finding]:
    """Try each key with one template.

    Raises:
        ValueError: there is no template to read.
    """
    template = ChatTemplate(path)
    return [_finding(path, template, key) for key in keys]


def _finding(path: Path, template: ChatTemplate, key: str) -> Finding:
    gates, refusals = [], []
    for before in ([], [_ASKED, {"role": "assistant", "content": "Which one?"}]):
        row = {"prompt": [*before, _ASKED], "content": _CONTENT, "reasoning": _THOUGHT, "answer": _CONTENT}
        try:
            gates.append(render(row, template, key).gate)
        except ValueError as error:
            gates.append("refused")
            refusals.append(str(error))
    one_turn, later_turn = gates
    earlier, without = _earlier_reasoning(template, key), _without_reasoning(template, key)
    return Finding(path, key, one_turn, later_turn, earlier, without, tuple(refusals))


def recommended(found: Sequence[Finding]) -> Finding | None:
    """The first key that works for one turn, rather one that also works for later turns."""
    working = [finding for finding in found if finding.one_turn == "ok"]
    return next((finding for finding in working if finding.later_turn == "ok"), next(iter(working), None))


def main(words: list[str]) -> None:
    """Print a table and a recommendation for each template; exit 1 where no key works for one of them."""
    parser = argparse.ArgumentParser(
        prog="python -m stages check_template", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("paths", metavar="PATH", type=Path, nargs="+", help="a .jinja file, or a tokenizer folder")
    parser.add_argument("--key", action="append", default=[], help="a further key to try")
    given = parser.parse_args(words)
    keys = [*KEYS[:-1], *map(_usable, given.key), KEYS[-1]]
    found = {path: findings(path, keys) for path in given.paths}
    for why in dict.fromkeys(why for each in found.values() for finding in each for why in finding.refusals):
        log.warning("%s", why)
    best = {path: recommended(each) for path, each in found.items()}
    table = markdown_table(HEADER, [finding.cells() for each in found.values() for finding in each])
    sys.stdout.write("\n".join([table, "", *(_advice(path, finding) for path, finding in best.items()), ""]))
    if None in best.values():
        sys.exit(1)


def _usable(key: str) -> str:
    """The same key, where `completion.reasoning_key` may be set to it."""
    try:
        return CompletionParams(reasoning_key=key).reasoning_key
    except ValidationError as error:
        raise ValueError(f"--key: {error.errors()[0]['msg']} (got {key!r})") from None


def _earlier_reasoning(template: ChatTemplate, key: str) -> str:
    before = published_message(_CONTENT, _EARLIER, key)
    now = published_message(_CONTENT, _THOUGHT, key)
    try:
        return "kept" if _EARLIER in template.render([_ASKED, before, _ASKED, now]) else "dropped"
    except ValueError:
        return "refused"


def _without_reasoning(template: ChatTemplate, key: str) -> str:
    plain = published_message(_CONTENT, None, key)
    null = {} if key == "inline" else {key: None}
    try:
        same = template.render([_ASKED, plain]) == template.render([_ASKED, plain | null])
    except ValueError:
        return "refused"
    return "ok" if same else "changed"


def _advice(path: Path, finding: Finding | None) -> str:
    if finding is None:
        return f"{path}: no key works; train with another template of this model"
    advice = f"{path}: completion.reasoning_key: {finding.key}"
    if finding.later_turn != "ok":
        advice += f", for rows of one turn (later turns: {finding.later_turn})"
    if finding.without_reasoning != "ok":
        advice += ", with select.require_reasoning: true"
    return advice
