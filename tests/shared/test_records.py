import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.shared.records import RowIds, canonical_json, extra_json, module_id, short_hash

PROMPT = [{"role": "user", "content": "Write a kernel."}]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_equal_values_are_equal_bytes_whatever_the_order_of_their_keys() -> None:
    assert canonical_json({"b": [1, None], "a": "é"}) == canonical_json({"a": "é", "b": [1, None]})
    assert canonical_json({"b": [1, None], "a": "é"}) == '{"a":"é","b":[1,null]}'.encode()


@given(JSON)
@settings(deadline=None)
def test_canonical_json_says_the_same_as_the_value(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


def test_a_hash_is_the_start_of_the_sha256_of_the_canonical_json() -> None:
    assert short_hash({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()[:16]


def test_a_module_is_known_by_its_code_and_name() -> None:
    expected = hashlib.sha256(b'{"module_name":"Add","python_code":"class Add: pass"}').hexdigest()[:16]

    assert module_id("class Add: pass", "Add") == expected
    assert len({module_id("class Add: pass", "Add"), module_id("class Add: pass", "B"), module_id("", "Add")}) == 3


def test_a_row_is_known_by_its_content_and_the_copies_by_their_number() -> None:
    ids = RowIds()
    given = [ids.next(PROMPT, "answer", "thought", "code") for _ in range(3)]

    def expected(n: int) -> str:
        body = {"content": "answer", "n": n, "prompt": PROMPT, "python_code": "code", "reasoning": "thought"}
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    assert given == [(expected(0), None), (expected(1), expected(0)), (expected(2), expected(0))]


def test_other_rows_between_copies_do_not_change_their_ids() -> None:
    together, apart = RowIds(), RowIds()
    first = [together.next(PROMPT, "a", None, "") for _ in range(2)]
    second = [apart.next(PROMPT, content, None, "") for content in ("a", "b", "a")]

    assert [second[0], second[2]] == first
    assert second[1][1] is None


def test_each_part_of_the_content_makes_another_row() -> None:
    ids = RowIds()
    rows = [
        ids.next(PROMPT, "answer", "thought", "code"),
        ids.next([{"role": "system", "content": "Write a kernel."}], "answer", "thought", "code"),
        ids.next(PROMPT, "", "thought", "code"),
        ids.next(PROMPT, "answer", None, "code"),
        ids.next(PROMPT, "answer", "", "code"),
        ids.next(PROMPT, "answer", "thought", ""),
    ]

    assert len({row_id for row_id, _ in rows}) == 6
    assert [first for _, first in rows] == [None] * 6


def test_fields_without_a_column_are_kept_as_json() -> None:
    assert extra_json({"b": {"y": 1, "x": [2]}, "a": "text", "none": None}) == '{"a":"text","b":{"x":[2],"y":1}}'
    assert extra_json({"none": None}) is None
    assert extra_json({}) is None


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [object(), "\ud800", nested(100_000)], ids=["object", "surrogate", "nested"])
def test_a_field_that_json_cannot_hold_is_an_error_a_user_can_act_on(value: object) -> None:
    with pytest.raises(ValueError, match=r"^a field without a column cannot be kept as JSON: "):
        extra_json({"a": value})
