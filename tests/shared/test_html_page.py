from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.shared.html_page import page, section

HOSTILE = "</td><script>alert('x')</script>&amp;\"'"


class Texts(HTMLParser):
    """Collects the tags and texts that a browser would see."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002  # its interface
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_section_is_a_heading_and_a_table() -> None:
    rows = [("rows", 12345), ("mean", 0.5), ("ok", True), ("nothing", None)]

    assert section("Funnel", ["metric", "n"], rows) == (
        "<h2>Funnel</h2>\n<table>\n"
        "<tr><th>metric</th><th>n</th></tr>\n"
        "<tr><td>rows</td><td>12,345</td></tr>\n"
        "<tr><td>mean</td><td>0.5</td></tr>\n"
        "<tr><td>ok</td><td>True</td></tr>\n"
        "<tr><td>nothing</td><td>none</td></tr>\n"
        "</table>"
    )


@given(st.text() | st.just(HOSTILE), st.text() | st.just(HOSTILE))
@settings(deadline=None)
def test_no_text_becomes_a_tag(name: str, value: str) -> None:
    seen = Texts(section(name, [value], [(name, value)], folded=True))

    assert seen.tags == ["details", "summary", "table", "tr", "th", "tr", "td", "td"]
    told = f"{name}\n\n{value}\n{name}{value}"
    assert "".join(seen.texts).replace("\r", "").split() == told.replace("\r", "").split()


def test_a_page_needs_nothing_from_elsewhere() -> None:
    document = page(HOSTILE, [section("A", ["a"], [("b", 1)]), section("C", [], [])])

    seen = Texts(document)
    assert document.startswith('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">')
    assert document.endswith("<h2>C</h2>\n<table>\n<tr></tr>\n</table>\n</body></html>\n")
    assert [tag for tag in seen.tags if tag in {"script", "link", "img", "iframe"}] == []
    assert "url(" not in document
    assert "@import" not in document
    assert seen.texts.count(HOSTILE) == 2  # the title and the heading
