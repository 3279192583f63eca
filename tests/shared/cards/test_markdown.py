import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.shared.cards.markdown import (
    Markdown,
    bullets,
    cell,
    code,
    counts_table,
    markdown_table,
    numbered,
    python_block,
    rows_text,
)

HOSTILE = "a|b\n# c <script>alert(1)</script> [x](javascript:1) `d` \\| e"


def test_a_table_of_values() -> None:
    rows = [("a", 1234567), ("b", 0.12345), ("c", 1234.5), ("d", True), ("e", None), ("f", ["x", 1]), ("g", [])]

    assert markdown_table(["name", "value"], rows).splitlines() == [
        "| name | value |",
        "| --- | --- |",
        "| a | 1,234,567 |",
        "| b | 0.1235 |",
        "| c | 1,234 |",
        "| d | yes |",
        "| e | none |",
        "| f | x, 1 |",
        "| g | none |",
    ]
    assert markdown_table(["name", "value"], []) == "| name | value |\n| --- | --- |"


def test_numbers_stand_at_the_right_also_where_some_are_missing() -> None:
    assert markdown_table(["a", "b", "c"], [(1, "", "x"), (2, "", "")]).splitlines()[1] == "| ---: | --- | --- |"
    assert counts_table("reason", {"gate": 1200}) == "| reason | rows |\n| --- | ---: |\n| gate | 1,200 |"
    assert markdown_table(["a"], [("",), (3.5,)]).splitlines()[1] == "| ---: |"


@given(st.text() | st.just(HOSTILE) | st.text("a@./:w|`\\\n *"))
@settings(deadline=None)
def test_no_text_breaks_out_of_its_cell(text: str) -> None:
    shown = cell(text)

    assert len(shown.splitlines()) <= 1
    if shown.startswith("`"):
        assert (shown.count("`"), shown[-1], "|" in shown) == (2, "`", False)
        assert shown[1:-1][:150] == plain(text).replace("|", "%7C").replace("`", "'")[:150]
    else:
        assert re.search(r"(?<!\\)(?:\\\\)*[|<>`\[\]*~&$]", shown) is None
        told = re.sub(r"\\(.)", r"\1", shown)
        assert re.search(r"://|www\.|[^\s]@[^\s]", told) is None
        assert told[:150] == plain(text)[:150]


def plain(text: str) -> str:
    """What a reader sees of a text."""
    return " ".join("".join(c for c in " ".join(text.split()) if unicodedata.category(c)[0] != "C").split())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*a* __b__ _c_ ~~d~~ &lt; $x$", r"\*a\* \_\_b\_\_ \_c\_ \~\~d\~\~ \&lt; \$x\$"),
        ("n_total_tokens", "n_total_tokens"),
        ("see https://example.org/a|b", "`see https://example.org/a%7Cb`"),
        ("www.example.org", "`www.example.org`"),
        ("me@example.org", "`me@example.org`"),
        ("a\u202eb\x00c\x1b[0m\u200b", r"abc\[0m"),
        ("x" * 1000, "x" * 197 + "..."),
    ],
)
def test_a_cell_shows_characters_and_nothing_else(text: str, shown: str) -> None:
    assert cell(text) == shown


@given(st.text() | st.just(HOSTILE))
@settings(deadline=None)
def test_no_text_breaks_out_of_its_code(text: str) -> None:
    shown = code(text)

    assert len(shown.splitlines()) == 1
    assert shown.count("`") == 2
    assert (shown[0], shown[-1]) == ("`", "`")


def test_what_is_markdown_already_stays_as_it_is() -> None:
    assert cell(Markdown("see `a` [b](c)")) == "see `a` [b](c)"


def test_lists_and_blocks() -> None:
    assert numbered(["a", "b"]) == "1. a\n2. b"
    assert bullets(["a", "b"]) == "- a\n- b"
    assert python_block("x = 1") == "```python\nx = 1\n```"
    assert [rows_text(n) for n in (0, 1, 1234)] == ["0 rows", "1 row", "1,234 rows"]
