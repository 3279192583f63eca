"""What trainers have to know of a dataset, from the metrics and knobs that it was made with."""

import json
from dataclasses import dataclass
from pathlib import Path

from stages.shared import stage
from stages.shared.cards.recipe import portable
from stages.shared.completion import CompletionParams
from stages.shared.hub.hub_folder import holding

LENGTHS = Path("data/metrics/recommend_seq_len.json")


@dataclass(frozen=True)
class Training:
    """How rows are trained on."""

    seq_len: int
    """Tokens of a row that a trainer keeps: they hold 99 % of the rows whole."""
    tokenizer: str
    """What counted them, in a line: its folder, and repository and commit where it was fetched."""
    model: str | None
    """The repository on the Hub that the tokenizer was fetched from."""
    reasoning_key: str | None
    """Key of the reasoning in the completions, or `inline`; None where they are answers alone."""
    all_reasoned: bool
    """Whether every row was required to have reasoning."""


def training_of(root: Path, variant: str) -> Training | None:
    """What there is to know of a variant of the project; None for one that is not made to train on."""
    metrics = root / LENGTHS
    stats = json.loads(metrics.read_text(encoding="utf-8"))["variants"] if metrics.exists() else {}
    seq_len = stats.get(variant, {}).get("recommended_seq_len", {}).get("99")
    if seq_len is None:
        return None
    file = root / stage.PARAMS_FILE
    knobs = {
        name: stage.read_section(name, stage.Knobs, file).root for name in ("measure_lengths", "select", "variants")
    }
    tokenizer = knobs["measure_lengths"]["tokenizer"]
    fetched = holding(root / tokenizer)
    told = " ".join(str(portable(tokenizer)).split())
    return Training(
        seq_len=seq_len,
        tokenizer=f"{told} ({fetched[1].repo} at {fetched[1].commit})" if fetched else told,
        model=fetched[1].repo if fetched and fetched[1].kind == "model" else None,
        reasoning_key=(
            stage.read_section("completion", CompletionParams, file).reasoning_key
            if knobs["variants"][variant]["reasoning"]
            else None
        ),
        all_reasoned=knobs["select"]["require_reasoning"],
    )
