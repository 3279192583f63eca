from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from stages.cluster_modules import components, module_hash, run, smallest_of_each
from stages.shared.code.code_hash import code_hash
from stages.shared.module_union import Module
from tests.stages import tables

OTHER_CODE = tables.CODE.replace("a + b", "a - b")


def test_the_hash_of_a_module_is_that_of_its_code_and_without_code_that_of_its_name() -> None:
    assert module_hash(Module("m", "Add", tables.CODE)) == code_hash(tables.CODE)
    assert module_hash(Module("m", "Add", "")) == module_hash(Module("n", "Add", " \n"))
    assert module_hash(Module("m", "Add", "")) != module_hash(Module("m", "Sub", ""))


def test_a_cluster_is_named_by_its_smallest_module() -> None:
    assert smallest_of_each(["x", "y", "x", "x"], ["m3", "m4", "m1", "m2"]) == ["m1", "m4", "m1", "m1"]


def test_a_group_goes_on_through_names_and_codes() -> None:
    """m3 and m1 share a name, m1 and m2 a code; m4 shares nothing."""
    groups = components(["m3", "m1", "m2", "m4"], [["Add", "Add", "Plus", "Sub"], ["c1", "c2", "c2", "c3"]])

    assert groups == ["m1", "m1", "m1", "m4"]


LINKS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


def reached(links: list[tuple[int, int]], start: int) -> set[int]:
    """The rows that share a value with `start`, or with one that does, and so on."""
    found = {start}
    while True:
        more = {j for i in found for j in range(len(links)) if links[i][0] == links[j][0] or links[i][1] == links[j][1]}
        if more <= found:
            return found
        found |= more


@given(LINKS, st.randoms(use_true_random=False))
def test_groups_are_connected_components_named_by_their_smallest_id(
    links: list[tuple[int, int]], random: Random
) -> None:
    ids = [f"m{i:02d}" for i in range(len(links))]
    random.shuffle(ids)

    groups = components(ids, [[f"n{name}" for name, _ in links], [f"c{code}" for _, code in links]])

    assert groups == [min(ids[j] for j in reached(links, i)) for i in range(len(links))]


def test_run_groups_the_union_of_modules_and_records(tmp_path: Path) -> None:
    commented = f"# a comment\n{tables.CODE}"
    files = tables.write(
        tmp_path,
        modules=[
            {"module_id": "m5", "module_name": "Add", "python_code": tables.CODE},
            {"module_id": "m2", "module_name": "Sub", "python_code": OTHER_CODE},
        ],
        records=[
            tables.record("a", module_id="m5"),
            tables.record("b", module_id="m3", module_name="Plus", python_code=commented),
            tables.record("c", module_id="m3", module_name="Plus", python_code=commented),
            tables.record("d", module_id="m4", module_name="Add", python_code="class Add: pass"),
        ],
    )

    metrics = run(**files, clusters=tmp_path / "clusters.parquet")

    add, sub, short = code_hash(tables.CODE), code_hash(OTHER_CODE), code_hash("class Add: pass")
    columns = ("module_id", "module_name", "code_hash", "cluster_id", "group_id")
    assert [tuple(row[name] for name in columns) for row in tables.rows(tmp_path / "clusters.parquet")] == [
        ("m5", "Add", add, "m3", "m3"),
        ("m2", "Sub", sub, "m2", "m2"),
        ("m3", "Plus", add, "m3", "m3"),
        ("m4", "Add", short, "m4", "m3"),
    ]
    assert metrics == {
        "rows_in": 4,
        "kept": 4,
        "module_names": 3,
        "code_hashes": 3,
        "clusters": 3,
        "groups": 2,
        "largest_group": 3,
        "names_with_different_codes": 1,
    }


def test_no_modules_give_an_empty_table(tmp_path: Path) -> None:
    metrics = run(**tables.write(tmp_path, modules=[], records=[]), clusters=tmp_path / "clusters.parquet")

    assert tables.rows(tmp_path / "clusters.parquet") == []
    assert metrics == {
        "rows_in": 0,
        "kept": 0,
        "module_names": 0,
        "code_hashes": 0,
        "clusters": 0,
        "groups": 0,
        "largest_group": 0,
        "names_with_different_codes": 0,
    }
