from pathlib import Path

import pytest

from stages.recommend_seq_len import run
from stages.shared.length_stats import length_stats
from tests.stages import tables


def inputs(folder: Path, fates: list[tuple[str | None, str | None]]) -> dict[str, Path]:
    """Rows of 1000, 2000, ... tokens, a tenth of that without reasoning; the fates of `all` and `best`."""
    return tables.write(
        folder,
        lengths=[
            {"row_id": f"r{i}", "n_total_tokens": 1000 * i, "n_total_tokens_no_reasoning": 100 * i}
            for i in range(1, len(fates) + 1)
        ],
        selection=[
            {"row_id": f"r{i}", "all": whole, "best": best, "best-short": best}
            for i, (whole, best) in enumerate(fates, start=1)
        ],
    )


def test_the_published_rows_of_each_dataset_are_counted_as_it_publishes_them(tmp_path: Path) -> None:
    files = inputs(tmp_path, [(None, None), ("gate", "gate"), (None, "not_unique"), (None, None)])

    metrics = run(tables.VARIANTS, **files)

    whole = {"rows_in": 4, "kept": 3, "dropped_gate": 1}
    best = {"rows_in": 4, "kept": 2, "dropped_gate": 1, "dropped_not_unique": 1}
    assert metrics == {
        "rows_in": 4,
        "kept": 4,
        "variants": {
            "all": whole | length_stats([1000, 3000, 4000]),
            "best": best | length_stats([1000, 4000]),
            "best-short": best | length_stats([100, 400]),
        },
    }
    assert metrics["variants"]["all"]["recommended_seq_len"] == {"99": 4096, "99.5": 4096, "100": 4096}
    assert metrics["variants"]["best-short"]["recommended_seq_len"] == {"99": 1024, "99.5": 1024, "100": 1024}


def test_a_dataset_without_rows_has_no_recommendation(tmp_path: Path) -> None:
    metrics = run(tables.VARIANTS, **inputs(tmp_path, [("gate", "gate")]))

    nothing = {"rows_in": 1, "kept": 0, "dropped_gate": 1, "rows": 0}
    assert metrics == {"rows_in": 1, "kept": 1, "variants": dict.fromkeys(tables.VARIANTS.root, nothing)}


def test_a_selection_of_other_rows_is_refused(tmp_path: Path) -> None:
    files = inputs(tmp_path, [(None, None)]) | tables.write(tmp_path, lengths=[{"row_id": "other"}])

    with pytest.raises(AssertionError, match="lengths and selection: the keys differ"):
        run(tables.VARIANTS, **files)


def test_a_selection_without_the_dataset_is_named(tmp_path: Path) -> None:
    files = inputs(tmp_path, [(None, None)]) | tables.write(tmp_path, selection=[{"row_id": "r1", "all": None}])

    with pytest.raises(ValueError, match=r"selection.parquet: the column 'best' is missing$"):
        run(tables.VARIANTS, **files)
