import pyarrow as pa
import pytest

from stages import build, build_evals, build_specs
from stages.shared.cards.column_meanings import ROLLOUTS, SPECIFICATIONS, columns_table, completion_meaning
from stages.shared.datasets.published import schema


def test_a_table_of_columns_with_the_inner_ones_of_info() -> None:
    columns = pa.schema(
        [
            ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
            (
                "info",
                pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string())), ("c", pa.float64()), ("d", pa.bool_())]),
            ),
        ]
    )
    meanings = {"prompt": "see `a`", "info": "all", "info.a": "1", "info.b": "2", "info.c": "3", "info.d": "4"}

    assert columns_table(columns, meanings).splitlines()[2:] == [
        "| prompt | list of {role, content} | see `a` |",
        "| info | struct | all |",
        "| info.a | int64 | 1 |",
        "| info.b | list of string | 2 |",
        "| info.c | float64 | 3 |",
        "| info.d | bool | 4 |",
    ]


@pytest.mark.parametrize("added", [build.ADDED, build_evals.ADDED])
def test_every_published_column_has_a_meaning(added: list[tuple[str, pa.DataType]]) -> None:
    columns = schema("reasoning_content", reasoning=True, more=added)
    names = [*columns.names, *(f"info.{name}" for name in (f.name for f in columns.field("info").type.fields))]

    lines = columns_table(columns, ROLLOUTS).splitlines()[2:]
    assert sorted(line.split(" | ")[0].removeprefix("| ") for line in lines) == sorted(names)
    assert len(columns_table(build_specs.COLUMNS, SPECIFICATIONS).splitlines()) == len(build_specs.COLUMNS) + 2


def test_what_a_completion_holds() -> None:
    assert "`reasoning_content`" in completion_meaning("reasoning_content", reasoning=True)
    assert "the reasoning in `<think>` tags" in completion_meaning("inline", reasoning=True)
    assert "the answer alone, in `<answer>` tags" in completion_meaning("inline", reasoning=False)
