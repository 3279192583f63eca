"""What the Hub says of a card."""

import json

from huggingface_hub import DatasetCard


def check_card(text: str) -> None:
    """Ask the Hub whether it takes a card.

    Raises:
        ValueError: it does not; with its reasons.
    """
    try:
        DatasetCard(text).validate()
    except ValueError as error:
        raise ValueError(f"the Hub refuses the card: {_refusals(str(error))}") from None


def _refusals(answer: str) -> str:
    """What the Hub's validation says, out of its JSON."""
    try:
        return "; ".join(error["message"] for error in json.loads(answer)["errors"])
    except (ValueError, KeyError, TypeError):
        return answer
