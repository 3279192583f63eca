from pathlib import Path

import pytest

from stages.rate_difficulty import Params, run
from stages.shared.code.static_difficulty import static_difficulty
from tests.stages import tables

STATIC = Params(rater="static", votes=1, show_solution=False, structured=False, **tables.MODEL)


def module(expression: str, name: str = "Net") -> str:
    return f"class {name}(nn.Module):\n    def forward(self, x, y):\n        return {expression}\n"


@pytest.mark.parametrize(
    ("expression", "difficulty", "operations"),
    [
        ("torch.relu(x) * 2 + x.view(-1)", "low", None),
        ("x.sum(1)", "medium", "sum"),
        ("x.sum(1) + x.mean(1)", "medium", "sum, mean"),
        ("x.sum(1) + x.mean(1) + x.var(1)", "high", "sum, mean, var"),
        ("F.softmax(x, 1) + x.mean(1)", "high", "softmax, mean"),
        ("F.scaled_dot_product_attention(x, x, x)", "high", "scaled_dot_product_attention"),
    ],
)
def test_heavy_operations_decide(expression: str, difficulty: str, operations: str | None) -> None:
    why = f"heavy operations: {operations}" if operations else "no heavy operation"

    assert static_difficulty(module(expression), "Net") == (difficulty, f"static: {difficulty}, {why}")


def test_recurrence_is_high() -> None:
    code = """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(4, 4)

    def forward(self, x):
        return self.cell(x)
"""

    assert static_difficulty(code, "Net") == ("high", "static: high, heavy operations: lstm")


def test_only_the_entry_point_is_rated_and_without_one_the_last_class() -> None:
    code = module("x.sum(1)", "Loss") + module("x + y", "Net")

    assert static_difficulty(code, "Loss")[0] == "medium"
    assert [static_difficulty(code, name)[0] for name in ("Net", None, "Elsewhere")] == ["low", "low", "low"]


@pytest.mark.parametrize("code", ["", "class Net(", "def forward(x):\n    return x\n", "class Net:\n    pass\n"])
def test_code_without_a_module_class_is_not_rated(code: str) -> None:
    assert static_difficulty(code, "Net") == (None, "static: the code shows no nn.Module class")


def test_run_rates_kept_rows_in_order_and_counts_modules(tmp_path: Path) -> None:
    files = tables.write(
        tmp_path,
        records=[
            tables.record("a", module_id="sum", entry_point="Net", python_code=module("x.sum(1)")),
            tables.record("b", module_id="low", entry_point="Net", python_code=module("x + y")),
            tables.record("c", module_id="low", entry_point="Net", python_code=module("x + y")),
            tables.record("d", module_id="lost", python_code=""),
        ],
        kept=[{"row_id": row_id, "kept": row_id != "b"} for row_id in "abcd"],
    )

    metrics = run(
        STATIC, **files, difficulty=tmp_path / "difficulty.parquet", **tables.model_files(tmp_path, "rate_difficulty")
    )

    medium = {"difficulty": "medium", "static_difficulty": "medium", "votes": ["medium"], "agreement": 1.0}
    low = {"difficulty": "low", "static_difficulty": "low", "votes": ["low"], "agreement": 1.0}
    unrated: tables.Row = {"difficulty": None, "static_difficulty": None, "votes": [], "agreement": None}
    common = {"rater": "static", "request_keys": []}
    assert tables.rows(tmp_path / "difficulty.parquet") == [
        {"row_id": "a", "evaluation_raw": "static: medium, heavy operations: sum"} | medium | common,
        {"row_id": "c", "evaluation_raw": "static: low, no heavy operation"} | low | common,
        {"row_id": "d", "evaluation_raw": "static: the code shows no nn.Module class"} | unrated | common,
    ]
    assert metrics == {"rows_in": 3, "kept": 3, "difficulty": {"medium": 1, "low": 1, "unrated": 1}, "modules": 3}


@pytest.mark.parametrize("row_ids", ["", "ab"])
def test_nothing_kept_gives_an_empty_table(tmp_path: Path, row_ids: str) -> None:
    files = tables.write(
        tmp_path,
        records=[tables.record(row_id) for row_id in row_ids],
        kept=[{"row_id": row_id, "kept": False} for row_id in row_ids],
    )

    metrics = run(
        STATIC, **files, difficulty=tmp_path / "difficulty.parquet", **tables.model_files(tmp_path, "rate_difficulty")
    )

    assert tables.rows(tmp_path / "difficulty.parquet") == []
    assert metrics == {"rows_in": 0, "kept": 0, "difficulty": {}, "modules": 0}


def test_more_records_than_a_batch_stay_aligned(tmp_path: Path) -> None:
    row_ids = [f"r{i}" for i in range(1500)]
    files = tables.write(
        tmp_path,
        records=[tables.record(row_id) for row_id in row_ids],
        kept=[{"row_id": row_id, "kept": i % 7 == 0} for i, row_id in enumerate(row_ids)],
    )

    metrics = run(
        STATIC, **files, difficulty=tmp_path / "difficulty.parquet", **tables.model_files(tmp_path, "rate_difficulty")
    )

    assert [row["row_id"] for row in tables.rows(tmp_path / "difficulty.parquet")] == row_ids[::7]
    assert metrics["difficulty"] == {"low": 215}


def test_kept_of_other_records_is_refused(tmp_path: Path) -> None:
    files = tables.write(tmp_path, records=[tables.record("a")], kept=[{"row_id": "b", "kept": True}])

    with pytest.raises(AssertionError, match="records and kept: the keys differ"):
        run(
            STATIC,
            **files,
            difficulty=tmp_path / "difficulty.parquet",
            **tables.model_files(tmp_path, "rate_difficulty"),
        )
    assert not (tmp_path / "difficulty.parquet").exists()


def test_a_wrong_rater_is_named(tmp_path: Path) -> None:
    message = tables.knob_message(tmp_path, "rate_difficulty", Params, STATIC.model_dump() | {"rater": "guess"})

    assert message == "rate_difficulty.rater: Input should be 'static' or 'llm' (got 'guess')"
