from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.shared.accounting import account, balance


def test_every_row_is_counted_under_its_fate() -> None:
    fates = ["low_reward", None, "no_answer", None, "low_reward"]

    assert account(fates) == {"rows_in": 5, "kept": 2, "dropped_low_reward": 2, "dropped_no_answer": 1}


def test_no_rows_are_an_account_too() -> None:
    assert account([]) == {"rows_in": 0, "kept": 0}


def test_reasons_are_in_alphabetical_order_so_that_equal_accounts_are_equal_text() -> None:
    assert list(account(["b", "a", None])) == ["rows_in", "kept", "dropped_a", "dropped_b"]


@given(st.lists(st.sampled_from([None, "repeat", "gate", "unrated"])))
@settings(deadline=None)
def test_the_numbers_add_up(fates: list[str | None]) -> None:
    counts = account(fates)

    dropped = sum(n for name, n in counts.items() if name.startswith("dropped_"))
    assert counts["rows_in"] == counts["kept"] + dropped == len(fates)


def test_a_row_that_is_not_accounted_for_fails() -> None:
    with pytest.raises(AssertionError, match=r"^3 rows came in, 2 are accounted for$"):
        balance(Counter({None: 1, "repeat": 1}), rows_in=3)
