"""Why a row is not in a dataset: the closed vocabulary of drop reasons, in the order in which they are looked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.shared.cards.markdown import Markdown, markdown_table

_FLAG = "flag_"
REASONS = {
    "rejected": ("", "not readable as what the source should hold"),
    "same_module": ("ingest_modules", "a further rollout of a module that is there already"),
    "no_reward": ("filter_reward", "the reward is missing"),
    "low_reward": ("filter_reward", "the reward is not above the cutoff"),
    "no_answer": ("filter_reward", "the completion holds no code"),
    "verdict": ("filter_reward", "the verdict is one that `require_verdict` refuses"),
    _FLAG: ("filter_reward", "one of the flags that `drop_flags` names"),
    "contaminated": ("select", "the module stands in a benchmark"),
    "unrated": ("select", "there is no difficulty"),
    "gate": ("select", "the chat template would lose or double its reasoning or its answer"),
    "no_reasoning": ("select", "the source has no reasoning, and `require_reasoning` is set"),
    "licence": ("select", "a licence that `select.licenses` does not name"),
    "excluded_group": ("select", "its group of modules is pinned to both splits"),
    "repeat": ("select", "a copy of the same content stays"),
    "not_unique": ("select", "a better row of the same `dedupe.key` stays"),
    "no_spec": ("build_specs", "the module has no specification: its code shows no class, or the writer gave none"),
}
"""Stage and meaning of each reason; the flags share an entry, and every stage that reads a source may reject rows."""


def funnel_text(accounts: Sequence[Mapping[str, Any]], start: str, reader: str) -> str:
    """The way from all rows to those of the dataset.

    Args:
        accounts: `rows_in`, `kept` and `dropped_<reason>` of stages; each goes on with what the one before kept.
        start: what the rows are at the start.
        reader: the stage that read them.
    """
    left = accounts[0]["rows_in"]
    lines: list[tuple[object, ...]] = [(start, "", "", "", left)]
    for account in accounts:
        assert account["rows_in"] == left, f"{left} rows are left, but {account['rows_in']} went on"
        dropped = {name.removeprefix("dropped_"): n for name, n in account.items() if name.startswith("dropped_") and n}
        for reason in sorted(dropped, key=_place):
            left -= dropped[reason]
            stage, meaning = REASONS[_entry(reason)]
            lines.append((reason, stage or reader, Markdown(meaning), dropped[reason], left))
        assert left == account["kept"], "the dropped rows and the kept rows are not all rows"
    return markdown_table(["", "stage", "meaning", "dropped", "left"], [*lines, ("in this dataset", "", "", "", left)])


def _place(reason: str) -> tuple[int, str]:
    return list(REASONS).index(_entry(reason)), reason


def _entry(reason: str) -> str:
    return _FLAG if reason.startswith(_FLAG) else reason
