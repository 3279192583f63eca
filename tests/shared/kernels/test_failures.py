from typing import get_args

import pytest

from stages.shared.kernels.failures import Failure, explain, kind


@pytest.mark.parametrize("failure", get_args(Failure))
def test_a_detail_begins_with_its_kind(failure: Failure) -> None:
    assert explain(failure, "what: it\n  was") == f"{failure}: what: it was"
    assert kind(explain(failure, "what: it\n  was")) == failure
    assert kind(explain(failure, "")) == failure


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        ("ValueError", "exception:ValueError"),
        ("CompilationError", "exception:CompilationError"),
        ("values: ok", "exception:other"),
        ("A" * 1000, "exception:other"),
    ],
)
def test_an_exception_is_named_by_its_type_where_the_answer_did_not_make_the_name(raised: str, expected: str) -> None:
    assert kind(explain("exception", "no: luck", raised=raised)) == expected


def test_a_detail_is_one_line_of_at_most_300_characters() -> None:
    assert explain("values", "a\nb\t c" + 200 * "d") == "values: a b c" + 200 * "d"
    assert explain("values", "e" * 293) == "values: " + 289 * "e" + "..."
    assert explain("values", "e" * 292) == "values: " + 292 * "e"


@pytest.mark.parametrize("detail", ["", "no kind", "slow: it is", "Values: x", ": x", "exception:Value Error: x"])
def test_what_is_no_detail_has_no_kind(detail: str) -> None:
    with pytest.raises(AssertionError):
        kind(detail)
