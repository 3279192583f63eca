import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.decontaminate import Benchmarks, Params, Problem, hashed, problem, run
from stages.shared.formats.rows_file import SourceRow
from tests.stages import tables

PARAMS = Params(benchmarks="benchmarks")
PROBLEM = '''\
import torch
from torch import nn


class Model(nn.Module):
    """The documentation."""

    def __init__(self, k):
        super().__init__()
        self.k = k

    def forward(self, x):
        return torch.relu(x * self.k)


def get_inputs():
    return [torch.rand(4, 8)]
'''


def benchmark(folder: Path, *rows: tables.Row, name: str = "bench.jsonl") -> Path:
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def is_found(known: Benchmarks, code: str) -> bool:
    return known.may_hold(code) and hashed(("m", "module_code", code))[2] in known.problems


@st.composite
def disguises(draw: st.DrawFn) -> str:
    """The problem with other comments, blank lines, white space and docstrings."""
    words = st.text("class Modelf():#'x \t", max_size=9)
    gap = st.sampled_from([" ", "  ", "\t", " \\\n  "])
    lines = []
    for line in PROBLEM.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        lines += draw(st.lists(st.sampled_from(["", "  "]) | words.map("      # {}".format), max_size=2))
        for keyword in ("class", "def"):
            if line.lstrip().startswith(f"{keyword} "):
                line = line.replace(f"{keyword} ", keyword + draw(gap))  # noqa: PLW2901
        if '"""' in line:
            line = draw(st.sampled_from(["", f'{indent}"Other words."', f'{indent}"""Two\n  lines."""']))  # noqa: PLW2901
        lines.append(line + draw(st.sampled_from(["", "  ", "  # why"])))
        if "def" in line:
            lines += draw(st.sampled_from([[], [f"{indent}    'A docstring.'"]]))
    return "\n".join(lines)


@given(disguises())
def test_comments_white_space_and_docstrings_hide_nothing(code: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert is_found(Benchmarks(benchmark(Path(folder), {"code": PROBLEM})), code)


@pytest.mark.parametrize("name", ["\ufb01t", "\u0915\u093f", "K_2"])
def test_the_prefilter_reads_names_as_python_does(tmp_path: Path, name: str) -> None:
    """Python normalises the ligature fi, and lets a name go on with a vowel sign."""
    code = PROBLEM.replace("Model", name)

    assert is_found(Benchmarks(benchmark(tmp_path, {"code": code})), f"# copied\n{code}")


@pytest.mark.parametrize(
    ("part", "other"), [("class Model", "class Net"), ("self, x)", "self, y)"), ("4, 8", "4, 9"), ("relu", "tanh")]
)
def test_other_names_and_constants_are_other_code(tmp_path: Path, part: str, other: str) -> None:
    assert part in PROBLEM
    assert not is_found(Benchmarks(benchmark(tmp_path, {"code": PROBLEM})), PROBLEM.replace(part, other))


def test_code_that_does_not_parse_is_found_by_its_lines(tmp_path: Path) -> None:
    known = Benchmarks(benchmark(tmp_path, {"code": "class Model(:\n    pass"}))

    assert is_found(known, "\nclass Model(:  \n\n    pass\n")
    assert not is_found(known, "class Model(:\n    pass  # kept in a text\n")


def test_a_problem_that_defines_nothing_is_found(tmp_path: Path) -> None:
    assert is_found(Benchmarks(benchmark(tmp_path, {"code": "y = x @ x"})), "y = (x @ x)  # squared")


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"output": "o", "torch_code": "t", "python_code": "p", "code": "c", "name": "n"}, (Problem("l1", "n"), "c")),
        ({"output": "o", "torch_code": "t", "python_code": "p", "file": "f.py"}, (Problem("l1", "f.py"), "p")),
        ({"output": "o", "torch_code": "t", "code": " \n", "problem_id": 0}, (Problem("l1", "0"), "t")),
        ({"output": "o", "code": None}, (Problem("l1", "7"), "o")),
    ],
)
def test_the_fields_of_known_benchmarks(row: tables.Row, found: tuple[Problem, str]) -> None:
    assert problem(SourceRow("kernelbench/l1.jsonl.gz", 7, row)) == found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"code": "x"', r"^bench.jsonl:2: not valid JSON: "),
        ('{"name": "1"}', r"^bench.jsonl:2: expected the problem's code in one of code, python_code, torch_code, "),
    ],
)
def test_a_row_without_code_stops_with_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "bench.jsonl"
    file.write_text(f'{{"code": "x"}}\n{line}\n', encoding="utf-8")

    with pytest.raises(ValueError, match=message):
        Benchmarks(file)


def test_run_marks_modules_by_their_code_or_an_answer(tmp_path: Path) -> None:
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    benchmark(folder, {"code": PROBLEM, "name": "scale"}, {"code": "y = x @ x", "name": "square"}, name="a.jsonl")
    benchmark(folder, {"output": f"# again\n{PROBLEM}", "name": "late"}, name="b.jsonl")
    module = {"module_name": "Add", "python_code": tables.CODE}
    files = tables.write(
        tmp_path,
        modules=[{"module_id": "m3", **module}, {"module_id": "m2", **module, "python_code": f"# copy\n{PROBLEM}"}],
        records=[
            tables.record("a", module_id="m1", answer="y = x @ x"),
            tables.record("b", module_id="m2", answer="y = x @ x"),
            tables.record("c", module_id="m1", answer=PROBLEM),
            tables.record("d", module_id="m3", answer=None),
        ],
    )

    metrics = run(PARAMS, **files, benchmarks=folder, contamination=tmp_path / "contamination.parquet")

    clean = {"contaminated": False, "benchmark": None, "problem": None, "evidence": None}
    found = {"contaminated": True, "benchmark": "a"}
    assert tables.rows(tmp_path / "contamination.parquet") == [
        {"module_id": "m3"} | clean,
        {"module_id": "m2", "problem": "scale", "evidence": "module_code"} | found,
        {"module_id": "m1", "problem": "square", "evidence": "answer_code"} | found,
    ]
    assert metrics == {
        "rows_in": 3,
        "kept": 3,
        "problems": {"a": 2, "b": 1},
        "contaminated": {"a": 2},
        "evidence": {"module_code": 1, "answer_code": 1},
    }


def test_without_benchmarks_nothing_is_contaminated(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    folder.mkdir()
    (folder / "README.md").write_text("No benchmark.")
    files = tables.write(tmp_path, modules=[], records=[tables.record("a"), tables.record("b", python_code="")])

    metrics = run(PARAMS, **files, benchmarks=folder, contamination=tmp_path / "contamination.parquet")

    assert [row["contaminated"] for row in tables.rows(tmp_path / "contamination.parquet")] == [False]
    assert metrics == {"rows_in": 1, "kept": 1, "problems": {}, "contaminated": {}, "evidence": {}}


def test_a_wrong_knob_is_named(tmp_path: Path) -> None:
    message = tables.knob_message(tmp_path, "decontaminate", Params, {"benchmarks": None})

    assert message == "decontaminate.benchmarks: Input should be a valid string (got None)"
