import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.shared.cards.svg_picture import Bars, Histogram, bin_width, label, picture

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = st.floats(-1e9, 1e9, allow_nan=False) | st.integers(0, 100_000).map(float)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def bars(svg: str) -> list[dict[str, float]]:
    found = [element.attrib for element in ET.fromstring(svg).iter(f"{SVG}rect")]
    return [
        {key: float(rect[key]) for key in ("x", "y", "width", "height")} for rect in found if rect["class"] == "bar"
    ]


def test_a_histogram_shows_how_many_rows_have_which_value() -> None:
    svg = picture([Histogram("Tokens", [100, 900, 1500, 3900, 3999], from_zero=True, marks={"seq_len": 4096})], "d")

    assert texts(svg) == [
        "Tokens",
        "5 rows, at most 2 in a bar of 200",
        "0",
        "1,000",
        "2,000",
        "3,000",
        "4,000",
        "seq_len",
    ]
    drawn = bars(svg)
    assert [bar["height"] for bar in drawn] == [40, 40, 40, 80]
    assert [bar["x"] for bar in drawn] == sorted(bar["x"] for bar in drawn)
    assert all(bar["y"] + bar["height"] == 138 for bar in drawn)
    assert svg.count('class="mark"') == 1


def test_a_value_on_a_bound_belongs_to_the_bin_above() -> None:
    """0.85 / 0.05 is below 17 in binary."""
    svg = picture([Histogram("Rewards", [0.85, 0.9, 2.1])], "d")

    assert "3 rows, at most 1 in a bar of 0.05" in texts(svg)
    assert [bar["x"] for bar in bars(svg)] == [14.5, pytest.approx(27.1, abs=0.1), pytest.approx(329.4, abs=1)]


def test_bars_show_names_and_shares_in_the_given_order() -> None:
    svg = picture([Bars("Difficulty", {"low": 1, "medium": 3, "high": 0})], "d")

    assert texts(svg) == ["Difficulty", "4 rows", "low", "1 (25%)", "medium", "3 (75%)", "high", "0 (0%)"]
    assert [bar["width"] for bar in bars(svg)] == [44, 132]


def test_what_is_too_much_is_summed_up_and_what_is_too_long_is_cut() -> None:
    svg = picture([Bars("Writers", {"a-model-with-a-very-long-name": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6})], "d")

    assert texts(svg)[2::2] == ["a-model-with-a-...", "b", "c", "d", "2 others"]
    assert texts(svg)[-1] == "11 (52%)"


def test_without_rows_a_panel_says_so() -> None:
    svg = picture([Histogram("A", []), Bars("B", {}), Bars("C", {"x": 0})], "d")

    assert texts(svg) == ["A", "no rows", "B", "no rows", "C", "no rows"]
    assert bars(svg) == []


@given(st.text(), st.text())
@settings(deadline=None)
def test_no_text_breaks_out_of_the_picture(name: str, description: str) -> None:
    hostile = f"</text><script>alert(1)</script>&\x00\ufffe\ud800{name}"

    svg = picture([Bars(hostile, {hostile: 1}), Histogram(hostile, [1.0], marks={hostile: 2.0})], hostile + description)

    tree = ET.fromstring(svg.encode("utf-8"))
    kinds = {element.tag.removeprefix(SVG) for element in tree.iter()}
    assert kinds == {"svg", "title", "style", "rect", "g", "text", "line"}


@given(st.lists(NUMBERS, max_size=60), st.booleans(), st.lists(NUMBERS, max_size=2))
@settings(deadline=None)
def test_whatever_the_values_are_everything_stands_inside(values: list[float], zero: bool, marks: list[float]) -> None:
    panel = Histogram("T", values, from_zero=zero, marks={str(i): mark for i, mark in enumerate(marks)})

    svg = picture([panel], "d")

    if values:
        assert min(bar["x"] for bar in bars(svg)) >= 14
        assert max(bar["x"] + bar["width"] for bar in bars(svg)) <= 343
        assert max(bar["height"] for bar in bars(svg)) == 80
        assert 1 <= len(bars(svg)) <= 41
        lines = [element.attrib for element in ET.fromstring(svg).iter(f"{SVG}line")]
        assert all(13.9 <= float(line[key]) <= 342.1 for line in lines for key in ("x1", "x2"))
    assert re.search(r"nan|inf", svg.split("</style>")[1]) is None


def test_the_largest_numbers_have_a_place() -> None:
    svg = picture([Histogram("Rewards", [1e308, -1e308, 0.5])], "d")

    assert [bar["height"] for bar in bars(svg)] == [80, 80, 80]


def test_equal_numbers_give_equal_bytes_and_nothing_comes_from_elsewhere() -> None:
    panels: list[Histogram | Bars] = [Histogram("A", [0.1 + 0.2, 0.7]), Bars("B", {"x": 1})]

    svg = picture(panels, "d")

    assert svg == picture(panels, "d")
    assert re.findall(r"https?://[^\"]*|url\(|href", svg) == ["http://www.w3.org/2000/svg"]
    assert "prefers-color-scheme: dark" in svg


@pytest.mark.parametrize(
    ("span", "most", "width"), [(1.25, 40, 0.05), (4096, 40, 200), (1, 10, 0.1), (0, 40, 1), (1e-7, 40, 5e-9)]
)
def test_bins_are_1_2_or_5_times_a_power_of_ten(span: float, most: int, width: float) -> None:
    assert bin_width(span, most) == pytest.approx(width)


def test_numbers_as_an_axis_shows_them() -> None:
    assert [label(n) for n in (0, 0.15000000000000002, 999.5, 1000, 65536, 2e12, -2500)] == [
        "0",
        "0.15",
        "999.5",
        "1,000",
        "65,536",
        "2e+12",
        "-2,500",
    ]
