from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.dedupe import Params, ranks, run
from tests.stages import tables

ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0.9, 1.0, 1.5])), max_size=20)


def test_the_best_reward_ranks_first_and_the_first_row_wins_a_tie() -> None:
    assert ranks(["a", "b", "a", "a", "b"], [1.0, 2.0, 1.5, 1.5, 2.0]) == [3, 1, 1, 2, 2]


@given(ROWS)
def test_ranks_count_the_better_rows_and_the_equal_ones_before(rows: list[tuple[str, float]]) -> None:
    expected = [
        1 + sum(k == key and (r > reward or (r == reward and j < i)) for j, (k, r) in enumerate(rows))
        for i, (key, reward) in enumerate(rows)
    ]

    assert ranks([key for key, _ in rows], [reward for _, reward in rows]) == expected


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """`Add` names two codes (c1 and c2), and the code c1 has two names."""
    modules = {"m1": ("Add", "c1", "m1"), "m2": ("Add", "c2", "m2"), "m3": ("Plus", "c1", "m1")}
    rollouts = [("a", "m1", 0.9), ("b", "m2", 1.5), ("c", "m3", 1.0), ("d", "m1", 0.1), ("e", "m2", 1.5)]
    return tables.write(
        tmp_path,
        records=[tables.record(row_id, module_id=module_id) for row_id, module_id, _ in rollouts],
        kept=[{"row_id": row_id, "reward": reward, "kept": reward > 0.85} for row_id, _, reward in rollouts],
        clusters=[
            {"module_id": module_id, "module_name": name, "code_hash": code, "cluster_id": cluster}
            for module_id, (name, code, cluster) in modules.items()
        ],
    )


def test_run_ranks_kept_rows_by_name_and_says_how_many_modules_the_name_throws_away(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    metrics = run(Params(key="module_name"), **files, unique=tmp_path / "unique.parquet")

    assert tables.rows(tmp_path / "unique.parquet") == [
        {"row_id": "a", "key": "Add", "rank": 3, "n_in_key": 3},
        {"row_id": "b", "key": "Add", "rank": 1, "n_in_key": 3},
        {"row_id": "c", "key": "Plus", "rank": 1, "n_in_key": 1},
        {"row_id": "e", "key": "Add", "rank": 2, "n_in_key": 3},
    ]
    assert metrics == {
        "rows_in": 4,
        "kept": 2,
        "dropped_not_best": 2,
        "different_modules": 2,
        "different_modules_lost": 0,
    }


def test_a_code_whose_name_another_code_won_is_counted_as_lost(tmp_path: Path) -> None:
    files = tables.write(
        tmp_path,
        records=[tables.record(f"r{i}", module_id=f"m{i}") for i in range(4)],
        kept=[{"row_id": f"r{i}", "reward": 2.0 - i / 10, "kept": True} for i in range(4)],
        clusters=[{"module_id": f"m{i}", "module_name": "Loss", "code_hash": f"c{i}"} for i in range(4)],
    )

    metrics = run(Params(key="module_name"), **files, unique=tmp_path / "unique.parquet")

    assert metrics == {
        "rows_in": 4,
        "kept": 1,
        "dropped_not_best": 3,
        "different_modules": 4,
        "different_modules_lost": 3,
    }


@pytest.mark.parametrize(
    ("key", "ranked"),
    [
        ("code_hash", [("a", "c1", 2), ("b", "c2", 1), ("c", "c1", 1), ("e", "c2", 2)]),
        ("cluster_id", [("a", "m1", 2), ("b", "m2", 1), ("c", "m1", 1), ("e", "m2", 2)]),
    ],
)
def test_other_keys_lose_no_code(
    tmp_path: Path, files: dict[str, Path], key: str, ranked: list[tuple[str, str, int]]
) -> None:
    metrics = run(Params.model_validate({"key": key}), **files, unique=tmp_path / "unique.parquet")

    found = tables.rows(tmp_path / "unique.parquet")
    assert [(row["row_id"], row["key"], row["rank"]) for row in found] == ranked
    assert metrics["different_modules_lost"] == 0


def test_nothing_kept_gives_an_empty_table(tmp_path: Path) -> None:
    files = tables.write(
        tmp_path, records=[tables.record("a")], kept=[{"row_id": "a", "reward": 0.1, "kept": False}], clusters=[]
    )

    metrics = run(Params(key="module_name"), **files, unique=tmp_path / "unique.parquet")

    assert tables.rows(tmp_path / "unique.parquet") == []
    assert metrics == {"rows_in": 0, "kept": 0, "different_modules": 0, "different_modules_lost": 0}


def test_a_wrong_key_is_named(tmp_path: Path) -> None:
    message = tables.knob_message(tmp_path, "dedupe", Params, {"key": "uuid"})

    assert message == "dedupe.key: Input should be 'module_name', 'code_hash' or 'cluster_id' (got 'uuid')"
