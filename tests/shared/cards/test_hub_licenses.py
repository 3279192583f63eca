from collections import Counter
from typing import Any

import pytest

from stages.shared.cards.hub_licenses import COPYLEFT, OTHER_TERMS, PERMISSIVE, hub_license, hub_licenses, licenses_text
from tests.hub_card_rules import LICENSES


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("MIT", "mit"),
        (" Apache-2.0 ", "apache-2.0"),
        ("GPL-3.0-only", "gpl-3.0"),
        ("AGPL-3.0-or-later", "agpl-3.0"),
        ("BSD-3-Clause-Clear", "bsd-3-clause-clear"),
        ("MIT-0", "other"),
        ("BSD-4-Clause", "other"),
        ("", "other"),
        ("Unknown", "unknown"),
    ],
)
def test_a_licence_as_the_hub_spells_it(name: str, known: str) -> None:
    assert hub_license(name) == known


def test_every_licence_of_the_hub_is_of_one_kind() -> None:
    assert PERMISSIVE | COPYLEFT | OTHER_TERMS == LICENSES
    assert len(PERMISSIVE) + len(COPYLEFT) + len(OTHER_TERMS) == len(LICENSES)


def test_the_licences_of_rows_are_a_list() -> None:
    assert hub_licenses({("MIT",): 3, ("Apache-2.0", "mit"): 1, (): 2, ("Mine",): 1}) == [
        "apache-2.0",
        "mit",
        "other",
        "unknown",
    ]
    assert hub_licenses({}) == []


LICENCES = Counter(
    {("MIT",): 3, ("MIT", "GPL-3.0"): 1, ("GPL-3.0-or-later",): 2, (): 4, ("x|y",): 1, ("BSD", "mit"): 1}
)


def test_rows_are_counted_by_licence_and_by_what_it_asks_for() -> None:
    text = licenses_text(LICENCES, "info.")

    assert "`info.licenses` names it row by row, `info.repo_name`, `info.sha` and `info.repo_link`" in text
    assert [line for line in text.splitlines() if line.startswith("| ")][2:] == [
        "| BSD | 1 | permissive |",
        "| GPL-3.0 | 1 | copyleft |",
        "| GPL-3.0-or-later | 2 | copyleft |",
        "| MIT | 4 | permissive |",
        "| mit | 1 | permissive |",
        "| none named | 4 | to be read |",
        r"| x\|y | 1 | to be read |",
    ]
    assert "4 rows of 12 name permissive licences alone." in text


@pytest.mark.parametrize("place", ["info.", ""])
def test_the_filter_of_the_card_keeps_the_rows_under_permissive_licences_alone(place: str) -> None:
    from datasets import Dataset  # noqa: PLC0415  # takes seconds

    given = [list(names) for names, n in LICENCES.items() for _ in range(n)]
    rows = [{"info": {"licenses": names}} if place else {"licenses": names} for names in given]
    scope: dict[str, Any] = {"dataset": Dataset.from_list(rows)}

    exec(licenses_text(LICENCES, place).split("```python\n")[1].split("```")[0], scope)

    assert list(scope["dataset"]) == [row for row, names in zip(rows, given, strict=True) if set(names) in ALLOWED]


ALLOWED = [{"MIT"}, {"BSD", "mit"}]


@pytest.mark.parametrize("licenses", [Counter({("MIT",): 2}), Counter({("GPL-3.0",): 2}), Counter[tuple[str, ...]]()])
def test_where_all_or_no_rows_would_stay_there_is_no_filter(licenses: Counter[tuple[str, ...]]) -> None:
    assert "```" not in licenses_text(licenses, "")
