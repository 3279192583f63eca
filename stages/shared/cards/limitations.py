"""What a dataset of this version is not, or was not checked for. Each function gives the lines that hold for it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from stages.shared.cards.hub_licenses import Licenses
from stages.shared.cards.markdown import cell, rows_text
from stages.shared.cards.recipe import Knobs

NOT_RECORDED = "The rows do not name the model that wrote the completions."
NO_NEAR_DUPLICATES = (
    "Near-duplicates are not searched: modules count as the same when they share a name or their code is equal but for "
    "comments, docstrings and layout. Similar modules may stand on both sides of the split."
)
OWN_TOKENIZER = "Token counts hold for the tokenizer and the chat template above, not for others."
SCORED_REWARDS = (
    "Rewards, speeds and times are as step 0 measured them once, on a few inputs of the recorded shapes; no later "
    "verdict changes them."
)
SOURCE_REWARDS = "Rewards, speeds and times are as the source gave them; no verdict changes them."
SOURCE_SET = (
    "This is a source set, not one to train on as it is: the column `split` marks what is kept for validation, "
    "`contaminated` what stands in a benchmark."
)


def of_rewards(ingested: Mapping[str, Any]) -> list[str]:
    """What the rewards are worth; `ingested` is what `ingest` counted."""
    scored, others = _scored(ingested)
    if scored and others:
        return [
            f"Rows whose reward step 0 of this pipeline made: {scored:,}. {SCORED_REWARDS}",
            f"Rows of other sources: {others:,}. {SOURCE_REWARDS}",
        ]
    return [SCORED_REWARDS if scored else SOURCE_REWARDS]


def of_models(ingested: Mapping[str, Any]) -> list[str]:
    """Which model wrote a row, where the rows may be by several; `ingested` is what `ingest` counted."""
    _, others = _scored(ingested)
    return [NOT_RECORDED] if others or len(ingested.get("model", {})) != 1 else []


def _scored(ingested: Mapping[str, Any]) -> tuple[int, int]:
    """Rows that step 0 made, and others."""
    scored = sum(ingested.get("scoring", {}).values())
    return scored, ingested["kept"] - scored


def of_verdicts(knobs: Knobs, verdicts: Counter[str], ingested: Mapping[str, Any]) -> list[str]:
    """What the verdicts of the rows leave open; `ingested` is what `ingest` counted."""
    lines = []
    if knobs["verify"]["mode"] == "static":
        scored, others = _scored(ingested)
        which = "" if not scored else ", but those of step 0 for their reward" if others else " again"
        lines.append(f"No answer was run{which}: that an answer is right is known from its reward alone.")
    elif verdicts["unknown"]:
        lines.append(f"Not verified (verdict `unknown`): {rows_text(verdicts['unknown'])}.")
    if verdicts["ok"]:
        lines.append("The verdict `ok` was found on a few inputs of the recorded shapes; other shapes may differ.")
    if verdicts["wrong"]:
        lines.append(f"Wrong by their verdict, and here all the same: {rows_text(verdicts['wrong'])}.")
    return lines


def of_flags(flagged: int) -> list[str]:
    """Rows that look like a cheat; `flagged` is their number."""
    return [f"Flagged by `verify`, and here all the same: {rows_text(flagged)}."] if flagged else []


def of_difficulty(raters: Counter[str]) -> list[str]:
    """What the ratings are worth; `raters` counts rows by rater."""
    baseline = "is a baseline, a count of operations in the syntax tree, and no judgement of a person or a model"
    opinion = "is the opinion of that model; no person checked it"
    return [
        f"The difficulty rated by {cell(rater)} ({rows_text(n)}) {baseline if rater == 'static' else opinion}."
        for rater, n in sorted(raters.items())
    ]


def of_writers(writers: Counter[str]) -> list[str]:
    """What the specifications are worth; `writers` counts rows by writer."""
    rules = "are the syntax tree put into words by rules: repetitive, and not how a person would put it"
    model = "are checked for the name of the class, shapes, dtypes and copied code, and for nothing else"
    return [
        f"The specifications by {cell(writer)} ({rows_text(n)}) {rules if writer == 'template' else model}."
        for writer, n in sorted(writers.items())
    ]


def of_groups(traits: Mapping[str, int]) -> list[str]:
    """What the split does not keep apart; `traits` counts the different values of each trait of modules."""
    if traits["cluster_id"] < traits["code_hash"]:
        return ["Near-duplicates of modules are found by a measure of similarity, which may miss some."]
    return [NO_NEAR_DUPLICATES]


def of_benchmarks(knobs: Knobs, found: Mapping[str, Any]) -> list[str]:
    """What the comparison with benchmarks leaves open; `found` is what `decontaminate` counted."""
    if not found["problems"]:
        return ["The rows were not compared with any benchmark."]
    names = ", ".join(map(cell, sorted(found["problems"])))
    lines = [f"Only equal code counts as a problem of a benchmark ({names}): rewritten problems are not found."]
    modules = sum(found["contaminated"].values())
    if modules and not knobs.get("select", {}).get("drop_contaminated", False):
        lines.append(f"Modules that stand in a benchmark, and whose rows were not dropped: {modules:,}.")
    return lines


def of_reasoning(rows: int, without: int) -> list[str]:
    """Rows whose source has no reasoning."""
    return (
        [f"Without reasoning, which their source does not have: {rows_text(without)} of {rows:,}."] if without else []
    )


def of_licenses(licenses: Licenses) -> list[str]:
    """Rows without a licence."""
    none = licenses.get((), 0)
    return [f"No licence is named for {rows_text(none)}."] if none else []


def of_trial(knobs: Knobs) -> list[str]:
    """What a trial version has not."""
    limit = knobs["ingest"]["limit"]
    return [] if limit is None else [f"This is a trial: no more than the first {limit:,} rollouts were read."]


def of_copies(*, dropped: bool) -> list[str]:
    """Rows with the same content."""
    return [] if dropped else ["Copies of the same content are not dropped."]
