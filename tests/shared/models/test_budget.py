import json
from pathlib import Path
from typing import Any

import pytest

from stages.shared.models.budget import Budget, BudgetError, Prices, ledger

USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 100,
    "completion_tokens_details": {"reasoning_tokens": 60},
    "prompt_tokens_details": {"cached_tokens": 30},
}


@pytest.fixture
def prices(tmp_path: Path) -> Prices:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"models": {"known": {"prompt": 2, "completion": 10.0}}}))
    return Prices(file)


@pytest.mark.parametrize(
    ("model", "usage", "usd"),
    [
        ("known", USAGE, 0.003),
        ("known", {"prompt_tokens": 1000}, 0.002),
        ("known", {"prompt_tokens": 1000, "completion_tokens": None}, 0.002),
        ("known", {"prompt_tokens": None, "completion_tokens": 100}, None),
        ("known", {**USAGE, "cost": 0.5}, 0.5),
        ("known", {**USAGE, "cost": 0}, 0.0),
        ("known", {**USAGE, "cost": True}, 0.003),
        ("unknown", {**USAGE, "cost": 0.5}, 0.5),
        ("unknown", USAGE, None),
        ("known", {}, None),
        ("known", None, None),
        ("known", [1], None),
    ],
)
def test_the_cost_is_what_the_provider_says_else_tokens_times_price(
    prices: Prices, model: str, usage: Any, usd: float | None
) -> None:
    assert prices.cost(model, {"usage": usage}) == usd
    assert prices.cost("known", {}) is None
    assert prices.cost("unknown", {"rejected": "400: too long"}) == 0.0


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"models": []}', '{"models": {"a": {"prompt": "?"}}}', '{"models": 1}']
)
def test_a_price_table_of_another_form_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "prices.json").write_text(text)

    with pytest.raises(ValueError, match=r"prices\.json: expected models with prompt and completion prices"):
        Prices(tmp_path / "prices.json")


def test_requests_are_capped_and_lost_ones_given_back() -> None:
    budget = Budget(2, None)
    budget.reserve()
    budget.reserve()
    with pytest.raises(BudgetError, match="LLM_MAX_REQUESTS = 2 requests are sent"):
        budget.reserve()

    budget.give_back()
    budget.reserve()

    with pytest.raises(BudgetError):
        Budget(0, None).reserve()


def test_what_is_under_way_counts_at_the_mean_cost() -> None:
    budget = Budget(None, 1.0)
    budget.reserve()
    budget.settle(0.25)
    budget.reserve()
    budget.reserve()
    budget.reserve()

    with pytest.raises(BudgetError, match=r"LLM_MAX_USD = 1.0 is reached: 0.2500 is spent and 0.7500 under way"):
        budget.reserve()
    budget.give_back()
    budget.reserve()


def test_a_cap_of_nothing_allows_nothing() -> None:
    with pytest.raises(BudgetError, match=r"LLM_MAX_USD = 0.0 is reached"):
        Budget(None, 0.0).reserve()


def test_an_unknown_price_is_told_once_and_does_not_end_a_run(caplog: pytest.LogCaptureFixture) -> None:
    budget = Budget(None, 0.5)
    for _ in range(3):
        budget.reserve()
        budget.settle(None)

    assert (budget.spent, budget.unpriced) == (0.0, 3)
    assert [record.getMessage() for record in caplog.records] == [
        "what a reply costs is unknown: LLM_MAX_USD cannot end this run, LLM_MAX_REQUESTS can"
    ]


def test_the_ledger_sums_what_replies_say(prices: Prices) -> None:
    nulls: dict[str, Any] = {"prompt_tokens": 1, "completion_tokens": None, "completion_tokens_details": None}
    known = ledger([("known", {"usage": USAGE}), ("known", {"usage": nulls})], prices)

    tokens = {"prompt_tokens": 1001, "completion_tokens": 100, "reasoning_tokens": 60, "cached_tokens": 30}
    assert known == {"requests": 2, **tokens, "usd": 0.003002}
    assert ledger([("known", {"usage": USAGE}), ("other", {"usage": USAGE})], prices)["usd"] == "unknown"
    assert ledger([("known", {})], prices)["usd"] == "unknown"
    assert ledger([], prices) == {"requests": 0, **dict.fromkeys(tokens, 0), "usd": 0.0}
