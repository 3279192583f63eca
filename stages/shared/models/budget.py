"""What may be spent in one run, and what the replies cost."""

import json
import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stages.shared.responses.response_store import REJECTED

log = logging.getLogger("budget")
_PER = 1_000_000


class BudgetError(ValueError):
    """The cap is reached; what was paid for is kept."""


class Prices:
    """Prices of models in USD per million tokens. A model that is not listed has an unknown price, never none."""

    def __init__(self, file: Path) -> None:
        """Read `{"models": {name: {"prompt": usd, "completion": usd}}}`.

        Raises:
            ValueError: the file is not that.
        """
        try:
            models = json.loads(file.read_text())["models"]
            self._models = {
                name: (float(price["prompt"]), float(price["completion"])) for name, price in models.items()
            }
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{file}: expected models with prompt and completion prices: {error!r}") from None

    def cost(self, model: str, reply: Mapping[str, Any]) -> float | None:
        """USD of one reply: what the provider says it cost, else tokens times price; None where neither is known.

        A rejection costs nothing.
        """
        if REJECTED in reply:
            return 0.0
        usage = token_usage(reply)
        if "cost" in usage:
            return float(usage["cost"])
        price = self._models.get(model)
        if price is None or "prompt_tokens" not in usage:
            return None
        return float(usage["prompt_tokens"] * price[0] + usage.get("completion_tokens", 0) * price[1]) / _PER


def token_usage(reply: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a reply's usage; servers also write null, or leave all of it out."""
    usage = reply.get("usage")
    given = usage if isinstance(usage, dict) else {}
    details = [given.get(name) for name in ("completion_tokens_details", "prompt_tokens_details")]
    reasoning, cached = [found if isinstance(found, dict) else {} for found in details]
    flat = {
        **given,
        "reasoning_tokens": reasoning.get("reasoning_tokens"),
        "cached_tokens": cached.get("cached_tokens"),
    }
    return {
        name: value for name, value in flat.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }


class Budget:
    """Caps of one run: requests, and USD where the price is known. Requests in flight are reserved at the mean cost."""

    def __init__(self, max_requests: int | None, max_usd: float | None) -> None:
        self.max_requests = max_requests
        self.max_usd = max_usd
        self.requests = 0
        self.spent = 0.0
        self.unpriced = 0
        self._settled = 0

    def reserve(self) -> None:
        """Ask for one request.

        Raises:
            BudgetError: which cap is reached.
        """
        if self.max_requests is not None and self.requests >= self.max_requests:
            raise BudgetError(f"LLM_MAX_REQUESTS = {self.max_requests} requests are sent")
        mean = self.spent / self._settled if self._settled else 0.0
        under_way = mean * (self.requests - self._settled - self.unpriced)
        expected = self.spent + under_way
        if self.max_usd is not None and (expected + mean > self.max_usd or expected >= self.max_usd):
            told = f"{self.spent:.4f} is spent and {under_way:.4f} under way"
            raise BudgetError(f"LLM_MAX_USD = {self.max_usd} is reached: {told}")
        self.requests += 1

    def settle(self, cost: float | None) -> None:
        """Note what a reply cost."""
        if cost is None:
            if self.max_usd is not None and not self.unpriced:
                log.warning("what a reply costs is unknown: LLM_MAX_USD cannot end this run, LLM_MAX_REQUESTS can")
            self.unpriced += 1
        else:
            self.spent += cost
            self._settled += 1

    def give_back(self) -> None:
        """A request was refused or lost, and cost nothing."""
        self.requests -= 1


def ledger(replies: Iterable[tuple[str, Mapping[str, Any]]], prices: Prices) -> dict[str, Any]:
    """Tokens and USD of the stored replies that a version used: a function of them and the prices, not of the run.

    Args:
        replies: model and body of each.
        prices: the price table.
    """
    totals = {"prompt_tokens": 0, "completion_tokens": 0, "reasoning_tokens": 0, "cached_tokens": 0}
    costs: list[float | None] = []
    for model, reply in replies:
        usage = token_usage(reply)
        for name in totals:
            totals[name] += int(usage.get(name, 0))
        costs.append(prices.cost(model, reply))
    known = [cost for cost in costs if cost is not None]
    usd = round(math.fsum(known), 6) if len(known) == len(costs) else "unknown"
    return {"requests": len(costs), **totals, "usd": usd}
