import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stages.shared.kernels import judge as judge_module
from stages.shared.kernels.judge import Judge, versions
from stages.shared.kernels.verdict import Job, Judgement
from tests.imports import ROOT, transitive_imports
from tests.shared.kernels.written_answers import KERNEL, WAVE, judged, module, right

RIGHT = KERNEL + "def triton_kernel_wrapper(x):\n    return launched(x)\n"


def test_what_a_judgement_depends_on() -> None:
    found = versions("interpret")

    assert list(found) == ["engine", "torch", "triton", "numpy"]
    assert len(found["engine"]) == 16
    assert found["triton"].startswith("3.7")


def test_a_judgement_depends_on_the_engine_but_not_on_its_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine(text: str) -> str:
        (tmp_path / "compare.py").write_text(text)
        versions.cache_clear()
        return versions("interpret")["engine"]

    monkeypatch.setattr(judge_module, "__file__", str(tmp_path / "judge.py"))
    before = engine("TOLERANCE = 1e-4\n")

    assert engine("# why\nTOLERANCE = 1e-4\n") == before
    assert engine("TOLERANCE = 1e-3\n") != before
    versions.cache_clear()


def test_a_judgement_depends_on_whatever_reads_the_code_of_an_answer() -> None:
    kernels = "stages/shared/kernels/"
    readers = [transitive_imports(ROOT / kernels / file) for file in ("static.py", "observation.py", "assessment.py")]
    elsewhere = {path for path in set().union(*readers) if not path.startswith(kernels)}

    assert elsewhere == {file.as_posix() for file in judge_module._INSPECTED}  # noqa: SLF001 - nothing else tells


def test_what_cannot_be_right_is_not_run() -> None:
    with_nothing_started = Judge("interpret", 10.0)

    assert with_nothing_started.judge(Job(WAVE, "Wave", "Wave", None)) == Judgement(
        "wrong", None, None, None, None, ["no_entry_point"], [], "no_answer: the completion holds none"
    )
    assert with_nothing_started.judge(Job(WAVE, "Wave", "Wave", "x = 1")).flags == ["no_kernel", "no_entry_point"]


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        (module("x: return BasicBlock(x)"), "reference: NameError: name 'BasicBlock' is not defined"),
        (WAVE.replace("get_inputs", "inputs"), "reference: ModuleError: the module has no get_inputs"),
        (
            "import tensorboard_that_is_not_there",
            "reference: ModuleNotFoundError: No module named 'tensorboard_that_is_not_there'",
        ),
        ("class Wave(:", "reference: SyntaxError: invalid syntax (reference.py, line 1)"),
        (f"import os\nos._exit(0)\n{WAVE}", "reference: exited: exit code 0"),
        (f"{WAVE}\nraise SystemExit(3)", "reference: SystemExit: 3"),
    ],
)
def test_a_module_that_cannot_run_leaves_its_answers_unknown(code: str, detail: str, judging: Judge) -> None:
    found = judged(judging, RIGHT, code)

    assert (found.verdict, found.correct, found.launches, found.flags) == ("unknown", None, None, [])
    assert str(found.detail).startswith(detail)


@pytest.mark.parametrize(
    ("forward", "answer", "expected"),
    [
        ("x: return x.sum()", "return launched(x).sum().reshape(1)", ("wrong", [])),
        (
            "x: return (x * x + torch.sin(x)).sum()",
            "return launched(x).sum().reshape(1)",
            ("ok", ["torch_fallback", "shape_rank"]),
        ),
        ("x: return x * x + torch.sin(x)", "return launched(x).half()", ("wrong", [])),
        ("x: return (x * x + torch.sin(x), x + 1)", "return [launched(x), x + 1]", ("ok", [])),
        ("x: return (x * x + torch.sin(x), x + 1)", "return launched(x)", ("wrong", [])),
        ("x: return {'y': x * x + torch.sin(x)}", "return {'y': launched(x)}", ("ok", [])),
        (
            "x: return x * x + torch.sin(x) - x * x - torch.sin(x)",
            "return launched(x) * 0",
            ("ok", ["zero_reference", "constant_reference"]),
        ),
        (
            "x: return torch.ne(x * x + torch.sin(x), 0).float()",
            "return torch.ne(launched(x), 0).float()",
            ("ok", ["decoy_launch", "constant_reference"]),
        ),
        ("x: x.copy_(x * x + torch.sin(x))", "x.copy_(launched(x))", ("ok", [])),
        ("x: return x.copy_(x * x + torch.sin(x))", "return launched(x)", ("ok", [])),
        (
            "x: return torch.log(x - 0.5) * 0 + x * x + torch.sin(x)",
            "return torch.log(x - 0.5) * 0 + launched(x)",
            ("ok", []),
        ),
        ("x: return torch.log(x - 0.5) * 0 + x * x + torch.sin(x)", "return launched(x)", ("wrong", [])),
    ],
)
def test_what_makes_a_result_right(forward: str, answer: str, expected: tuple[str, list[str]], judging: Judge) -> None:
    code = f"{KERNEL}def triton_kernel_wrapper(x):\n    {answer}\n"

    found = judged(judging, code, module(forward))

    assert (
        found.verdict,
        [flag for flag in found.flags if flag != "torch_fallback" or flag in expected[1]],
    ) == expected


def test_jobs_run_on_all_workers(judging: Judge) -> None:
    answers = [f"{RIGHT}# {number}\n" for number in range(2 * judging.workers)]

    with ThreadPoolExecutor(judging.workers) as pool:
        found = list(pool.map(lambda answer: judged(judging, answer), answers))

    assert found == [right()] * len(answers)


def test_closing_ends_what_runs_and_tells_it() -> None:
    judge = Judge("interpret", 60.0, workers=1)
    raised: list[BaseException] = []

    def wait_for_ever() -> None:
        try:
            judged(judge, KERNEL + "def triton_kernel_wrapper(x):\n    while True: pass\n")
        except RuntimeError as error:
            raised.append(error)

    with judge:
        thread = threading.Thread(target=wait_for_ever)
        thread.start()
        time.sleep(1.0)
    thread.join(10.0)

    assert not thread.is_alive()
    assert len(raised) == 1
