import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.split import Params, assign, deviation, drawn, read_pins, run
from tests.stages import tables

PARAMS = Params(validation_fraction=0.1, seed=0, pins="none")
HALF = Params(validation_fraction=0.5, seed=0, pins="none")
IDS = st.sets(st.text("0123456789abcdef", min_size=16, max_size=16), max_size=20)


@given(st.text(min_size=1, max_size=20), st.integers(), st.floats(0, 0.999))
def test_the_draw_is_the_hash_of_seed_and_group(group_id: str, seed: int, fraction: float) -> None:
    share = int(hashlib.sha256(f"{seed}:{group_id}".encode(errors="replace")).hexdigest()[:16], 16) / 2**64

    found = drawn(group_id.encode(errors="replace").decode(), Params(validation_fraction=fraction, seed=seed, pins=""))

    assert found == ("validation" if share < fraction else "train")


@given(IDS, IDS)
def test_the_split_of_a_group_does_not_depend_on_other_groups(some: set[str], more: set[str]) -> None:
    alone = assign({module_id: module_id for module_id in sorted(some)}, {}, HALF)
    among = assign({module_id: module_id for module_id in sorted(more | some)}, {}, HALF)

    assert alone == {group_id: split for group_id, split in among.items() if group_id in some}


@given(IDS)
def test_a_larger_share_moves_groups_to_validation_only(ids: set[str]) -> None:
    assert {i for i in ids if drawn(i, PARAMS) == "validation"} <= {i for i in ids if drawn(i, HALF) == "validation"}


@pytest.mark.parametrize(
    ("pinned", "split"),
    [
        ({}, "validation"),
        ({"m3": "train"}, "train"),
        ({"m7": "train"}, "train"),
        ({"m7": "train", "m8": "train"}, "train"),
        ({"m7": "train", "m8": "validation"}, "excluded"),
        ({"m7": "train", "m8": "excluded"}, "excluded"),
        ({"m8": "excluded"}, "excluded"),
        ({"m9": "train"}, "validation"),
    ],
)
def test_pins_follow_the_modules_of_a_merged_group(pinned: dict[str, str], split: str) -> None:
    """m3, m7 and m8 are one group now; each may have named a group of its own."""
    group_of = {"m8": "m3", "m3": "m3", "m7": "m3", "m4": "m4"}

    assert assign(group_of, pinned, HALF) == {"m3": split, "m4": "train"}


@given(IDS)
def test_pins_of_an_earlier_version_keep_all_its_groups_under_any_seed(ids: set[str]) -> None:
    groups = {module_id: module_id for module_id in sorted(ids)}
    before = assign(groups, {}, HALF)

    assert assign(groups, before, HALF.model_copy(update={"seed": 1, "validation_fraction": 0.0})) == before


def clusters(folder: Path, group_of: dict[str, str]) -> dict[str, Path]:
    return tables.write(folder, clusters=[{"module_id": m, "group_id": g} for m, g in group_of.items()])


def test_run_writes_groups_in_the_order_of_their_first_module(tmp_path: Path) -> None:
    files = clusters(tmp_path, {"m6": "m4", "m3": "m3", "m4": "m4", "m9": "m8", "m8": "m8"})
    pins = tables.write(
        tmp_path, splits=[{"group_id": g, "split": s} for g, s in (("m8", "train"), ("m9", "validation"))]
    )

    metrics = run(HALF, **files, pins=pins["splits"], splits=tmp_path / "new.parquet")

    assert tables.rows(tmp_path / "new.parquet") == [
        {"group_id": "m4", "split": "train"},
        {"group_id": "m3", "split": "validation"},
        {"group_id": "m8", "split": "excluded"},
    ]
    assert metrics == {
        "rows_in": 3,
        "kept": 3,
        "groups": {"train": 1, "validation": 1, "excluded": 1},
        "modules": {"train": 2, "validation": 1, "excluded": 2},
        "validation_share_of_groups": 0.333333,
        "pins": 2,
        "pins_of_known_modules": 2,
        "warning": None,
    }


def test_no_groups_are_no_split(tmp_path: Path) -> None:
    metrics = run(HALF, **clusters(tmp_path, {}), pins=tmp_path, splits=tmp_path / "splits.parquet")

    assert tables.rows(tmp_path / "splits.parquet") == []
    assert metrics == {
        "rows_in": 0,
        "kept": 0,
        "groups": {},
        "modules": {},
        "validation_share_of_groups": 0.0,
        "pins": 0,
        "pins_of_known_modules": 0,
        "warning": None,
    }


def test_validation_has_its_share_of_many_groups(tmp_path: Path) -> None:
    files = clusters(tmp_path, {f"g{i}": f"g{i}" for i in range(5000)})

    metrics = run(PARAMS, **files, pins=tmp_path, splits=tmp_path / "splits.parquet")

    assert metrics["validation_share_of_groups"] == pytest.approx(0.1, abs=0.01)
    assert metrics["warning"] is None


@pytest.mark.parametrize(
    ("share", "fraction", "groups", "is_warned"),
    [
        (0.13, 0.1, 10**6, False),
        (0.131, 0.1, 10**6, True),
        (0.069, 0.1, 10**6, True),
        (0.2, 0.1, 20, False),
        (0.25, 0.1, 20, True),
        (0.0, 0.0, 5, False),
        (0.0, 0.1, 1, False),
        (0.0, 0.5, 0, False),
    ],
)
def test_a_share_off_by_three_points_and_two_standard_errors_is_warned_of(
    share: float, fraction: float, groups: int, *, is_warned: bool
) -> None:
    warning = (
        f"{share:.1%} of the groups are validation, not {fraction:.1%}: large groups or pins weigh; try another seed"
    )

    assert deviation(share, fraction, groups) == (warning if is_warned else None)


def test_pins_are_a_table_of_splits_or_a_folder_for_none(tmp_path: Path) -> None:
    files = tables.write(tmp_path, splits=[{"group_id": "m1", "split": "test"}], kept=[])
    (tmp_path / "none").mkdir()

    assert read_pins(tmp_path / "none") == {}
    with pytest.raises(ValueError, match=r"splits.parquet: split: expected train, validation or excluded, got 'test'$"):
        read_pins(files["splits"].parent)
    with pytest.raises(ValueError, match=r"kept.parquet: the column 'group_id' is missing$"):
        read_pins(files["kept"])
    with pytest.raises(FileNotFoundError):
        read_pins(tmp_path / "gone.parquet")


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"validation_fraction": 1.0}, "split.validation_fraction: Input should be less than 1 (got 1.0)"),
        (
            {"validation_fraction": -0.1},
            "split.validation_fraction: Input should be greater than or equal to 0 (got -0.1)",
        ),
        ({"seed": 0.5}, "split.seed: Input should be a valid integer (got 0.5)"),
        ({"pins": None}, "split.pins: Input should be a valid string (got None)"),
    ],
)
def test_a_wrong_knob_is_named(tmp_path: Path, knobs: tables.Row, message: str) -> None:
    assert tables.knob_message(tmp_path, "split", Params, PARAMS.model_dump() | knobs) == message
