"""Mark the modules that stand in a benchmark.

Reads the code of `modules` and the code and answers of `records`, and the benchmarks; writes `contamination`, one row
per module in the order of `clusters`. A module is contaminated when its code, or an answer to it, has the same normal
form as a benchmark's code.
"""

import ast
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import pyarrow as pa

from stages.shared import engine, stage, table
from stages.shared.accounting import balance
from stages.shared.code.code_hash import code_hash
from stages.shared.code.syntax import parse
from stages.shared.formats.rows_file import SourceRow, read_rows
from stages.shared.module_union import module_union

CONTAMINATION = pa.schema(
    [
        ("module_id", pa.string()),
        ("contaminated", pa.bool_()),
        ("benchmark", pa.string()),
        ("problem", pa.string()),
        ("evidence", pa.string()),
    ]
)
CODE_FIELDS = ("code", "python_code", "torch_code", "output")
NAME_FIELDS = ("name", "file", "problem_id")
_DEFINED = re.compile(r"\b(?:class|def)[\s\\]+([^\s\\(:]+)")


class Params(stage.Params):
    benchmarks: str
    """File or folder of benchmark problems; `data/sample/none` for none."""


class Problem(NamedTuple):
    """A benchmark's problem."""

    benchmark: str
    name: str


def problem(row: SourceRow) -> tuple[Problem, str]:
    """The problem and its code.

    Raises:
        ValueError: file, line and what was expected.
    """
    where = f"{row.file}:{row.line}"
    if row.value is None:
        raise ValueError(f"{where}: {row.problem}")
    code = next(
        (value for name in CODE_FIELDS if isinstance(value := row.value.get(name), str) and value.strip()), None
    )
    if code is None:
        raise ValueError(f"{where}: expected the problem's code in one of {', '.join(CODE_FIELDS)}")
    name = next((str(value) for name in NAME_FIELDS if (value := row.value.get(name)) is not None), str(row.line))
    return Problem(PurePath(row.file).name.split(".")[0], name), code


def defined_names(code: str) -> frozenset[str]:
    """Names of the classes and functions that the code defines; those of its text where it does not parse."""
    tree = parse(code)
    if tree is None:
        return frozenset(mentioned_names(code))
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def mentioned_names(code: str) -> set[str]:
    """Names that follow `class` or `def` anywhere in the text, in the form that Python gives identifiers."""
    return {unicodedata.normalize("NFKC", name) for name in _DEFINED.findall(code)}


class Benchmarks:
    """The problems of all benchmarks, by the normal form of their code."""

    def __init__(self, path: Path) -> None:
        self.problems: dict[str, Problem] = {}
        self.counts: Counter[str] = Counter()
        names: set[frozenset[str]] = set()
        for row in read_rows(path):
            found, code = problem(row)
            self.counts[found.benchmark] += 1
            self.problems.setdefault(code_hash(code), found)
            names.add(defined_names(code))
        self._names = [some for some in names if not any(fewer < some for fewer in names)]

    def may_hold(self, code: str) -> bool:
        """Whether the text mentions the definition of every name of some problem: only then it can be one of them."""
        mentioned = mentioned_names(code)
        return any(some <= mentioned for some in self._names)


def candidates(modules: Path, records: Path, benchmarks: Benchmarks) -> Iterator[tuple[str, str, str]]:
    """Module id, kind and text of every code that may be a problem's: the modules' first, then the answers'."""
    for module in module_union(modules, records):
        if benchmarks.may_hold(module.python_code):
            yield module.module_id, "module_code", module.python_code
    for batch in table.batches(records, ["module_id", "answer"]):
        for module_id, answer in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if answer and benchmarks.may_hold(answer):
                yield module_id, "answer_code", answer


def hashed(candidate: tuple[str, str, str]) -> tuple[str, str, str]:
    """Module id, kind and code hash of a candidate."""
    module_id, kind, code = candidate
    return module_id, kind, code_hash(code)


def run(
    params: Params,  # noqa: ARG001  # validated here; dvc.yaml passes its path
    *,
    modules: Path,
    records: Path,
    benchmarks: Path,
    contamination: Path,
) -> stage.Metrics:
    """Find contaminated modules."""
    known = Benchmarks(benchmarks)
    found: dict[str, dict[str, Any]] = {}
    for module_id, kind, code in engine.map_rows(hashed, candidates(modules, records, known)):
        if code in known.problems and module_id not in found:
            benchmark, name = known.problems[code]
            found[module_id] = {"benchmark": benchmark, "problem": name, "evidence": kind}
    ids = [module.module_id for module in module_union(modules, records)]
    with table.writing(contamination, CONTAMINATION) as writer:
        for module_id in ids:
            writer.write({"module_id": module_id, "contaminated": module_id in found, **found.get(module_id, {})})
    return {
        **balance(Counter({None: len(ids)})),
        "problems": dict(known.counts),
        "contaminated": dict(Counter(match["benchmark"] for match in found.values())),
        "evidence": dict(Counter(match["evidence"] for match in found.values())),
    }


if __name__ == "__main__":
    stage.main(run)
