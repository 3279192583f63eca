"""How a dataset was made: its stages in words, with the knobs of this version. Each function gives one step."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.shared.cards.markdown import code, markdown_table

Knobs = Mapping[str, Mapping[str, Any]]
"""The sections of the params file that a card shows."""
MODES = {
    "static": "the syntax tree of each answer is read; nothing is run",
    "interpret": "each answer is run against its PyTorch module on a CPU, in Triton's interpreter, and its kernels are "
    "compiled for GPUs",
    "cuda": "each answer is run and timed against its PyTorch module on a GPU",
}
FORMULAS = {
    "coverage": "1, less 0.05 for each heavy operation that is left to PyTorch and 0.1 for each flag of "
    "`in_place_input`, `shape_specialised` and `exception_fallback`",
    "speedup": "1, and more where it is faster than its module: the speedup, up to 2.1",
}
_MODEL_KNOBS = ("provider", "model", "temperature", "max_tokens", "reasoning_effort", "sample", "max_failed_fraction")
_WITHOUT = {
    ("verify", "mode", "static"): {"timeout_s"},
    ("rate_difficulty", "rater", "static"): {*_MODEL_KNOBS, "votes", "show_solution", "structured"},
    ("write_specs", "writer", "template"): {*_MODEL_KNOBS},
}
"""Knobs without effect, by section, knob and value."""


def portable(value: object) -> object:
    """A knob as it may be told: of an absolute path only the name."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def knobs_table(knobs: Knobs) -> str:
    """All knobs that had an effect on this version: not those of a model that was not asked."""
    rows = []
    for section, values in knobs.items():
        unused = [names for (of, knob, value), names in _WITHOUT.items() if of == section and values[knob] == value]
        shown = values.keys() - set().union(*unused)
        rows += [(f"{section}.{knob}", portable(value)) for knob, value in values.items() if knob in shown]
    return markdown_table(["knob", "value"], rows)


def read_rollouts(knobs: Knobs, ingested: Mapping[str, Any]) -> str:
    """The step `ingest`; `ingested` is what it counted."""
    limit = knobs["ingest"]["limit"]
    first = f", the first {limit:,} only" if limit is not None else ""
    return (
        f"`ingest` read {ingested['rows_in']:,} rollouts from {_path(knobs['ingest']['base'])}{first}. It separates "
        f"reasoning from content, wherever the source had put it, and finds the code of the answer.{_made(ingested)}"
    )


def read_modules(knobs: Knobs, ingested: Mapping[str, Any]) -> str:
    """The step `ingest_modules`; `ingested` is what it counted."""
    return (
        f"`ingest_modules` read {ingested['rows_in']:,} rows from {_path(knobs['ingest_modules']['path'])}: "
        f"{ingested['kept']:,} modules with a code or name of their own."
    )


def verified(knobs: Knobs) -> str:
    """The step `verify`."""
    section = knobs["verify"]
    spared = f" Rewards below {section['min_reward']:g} are not looked at." if section["min_reward"] > 0 else ""
    return f"`verify`, mode {code(section['mode'])}: {MODES[section['mode']]}.{spared}"


def filtered(knobs: Knobs) -> str:
    """The step `filter_reward`."""
    section = knobs["filter_reward"]
    text = f"`filter_reward` keeps rewards strictly above {section['cutoff']:g}"
    if section["drop_flags"]:
        text += f", drops what `verify` flagged as {', '.join(map(code, section['drop_flags']))}"
    if section["require_verdict"] != "none":
        refused = {"not_wrong": "whose verdict is `wrong`", "ok": "whose verdict is not `ok`"}
        text += f", drops answers {refused[section['require_verdict']]}"
    return f"{text}."


def rated(knobs: Knobs) -> str:
    """The step `rate_difficulty`."""
    section = knobs["rate_difficulty"]
    if section["rater"] == "static":
        return (
            "`rate_difficulty`, rater `static`, counts the heavy operations (matrix products, convolutions, "
            "reductions, ...) in the module's syntax tree: none is low, one or two of a kind medium, more high."
        )
    votes = f"{section['votes']} times per row, and the majority counts" if section["votes"] > 1 else "once per row"
    shown = "the module and the answer" if section["show_solution"] else "the module, not the answer"
    return (
        f"`rate_difficulty`: the model {code(section['model'])} (provider {code(section['provider'])}) is shown "
        f"{shown}, and asked for low, medium or high {votes}."
    )


def compared(knobs: Knobs, found: Mapping[str, Any]) -> str:
    """The step `decontaminate`; `found` is what it counted."""
    if not found["problems"]:
        return "`decontaminate` had no benchmark to compare with."
    problems = ", ".join(f"{code(name)} ({n:,} problems)" for name, n in sorted(found["problems"].items()))
    return (
        f"`decontaminate` compares the code of each module and answer with {problems} from "
        f"{_path(knobs['decontaminate']['benchmarks'])}; comments, docstrings and layout do not count."
    )


def measured(knobs: Knobs) -> str:
    """The step `measure_lengths`."""
    return (
        f"`measure_lengths` renders each row with the chat template of {_path(knobs['measure_lengths']['tokenizer'])}, "
        "counts its tokens, and checks that reasoning and answer stand once in what a trainer learns."
    )


def split(knobs: Knobs) -> str:
    """The steps `cluster_modules` and `split`."""
    section = knobs["split"]
    pinned = Path(section["pins"]).name != "none"
    pins = f" Groups of {_path(section['pins'])} stay where they were." if pinned else ""
    return (
        "`cluster_modules` and `split`: modules with the same name or the same code form a group, and "
        f"{section['validation_fraction']:g} of the groups go to validation, by a hash of the group and the seed "
        f"{section['seed']}.{pins}"
    )


def selected(knobs: Knobs, rows: str) -> str:
    """The steps `dedupe` and `select`; `rows` is the knob of the variant."""
    section = knobs["select"]
    drops = {
        "rows whose module stands in a benchmark": section["drop_contaminated"],
        "all but the best of the copies of a content": section["drop_repeats"],
        "rows without reasoning": section["require_reasoning"],
        f"rows with no licence or another than {', '.join(map(code, section['licenses']))}": section["licenses"],
    }
    asked = [what for what, wanted in drops.items() if wanted]
    text = "`select` drops rows that have no difficulty or that the chat template would spoil"
    best = f" It keeps the best rewarded row of each {code(knobs['dedupe']['key'])}." if rows == "unique" else ""
    return f"{', '.join([text, *asked])}.{best}"


def specified(knobs: Knobs) -> str:
    """The step `write_specs`."""
    section = knobs["write_specs"]
    if section["writer"] == "template":
        return "`write_specs`, writer `template`, puts the module's syntax tree and its recorded inputs into words."
    return (
        f"`write_specs`: the model {code(section['model'])} (provider {code(section['provider'])}) writes a "
        "specification from the module's code. What it wrote is checked for the class name, shapes, dtypes and copied "
        "code."
    )


def _made(ingested: Mapping[str, Any]) -> str:
    """How the rollouts were made, of those that this pipeline made."""
    models = ", ".join(f"{code(model)} ({n:,})" for model, n in sorted(ingested.get("model", {}).items()))
    text = f" Of the rollouts, step 0 of this pipeline made those by the model {models}." if models else ""
    for scoring, n in sorted(ingested.get("scoring", {}).items()):
        mode, formula = scoring.split(", ")
        text += (
            f" It scored {n:,} in mode {code(mode)}: {MODES[mode]}. Their reward {code(formula)} of a right answer is "
            f"{FORMULAS[formula]}; of a wrong one, or one that was cut off, it is 0."
        )
    return text


def _path(value: object) -> str:
    return code(portable(value))
