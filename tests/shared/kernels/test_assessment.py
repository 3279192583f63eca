"""Verdicts and flags from what children could tell, also when they lie."""

from typing import Any

import numpy as np
import pytest

from stages.shared.kernels.assessment import assess
from stages.shared.kernels.reports import CASES, Case, Compiled, Expected, Refused, Report, Run, Setting
from stages.shared.kernels.static import Inspection
from stages.shared.kernels.tensors import Many, Tensor
from stages.shared.kernels.told import Module, Told, clean
from stages.shared.kernels.verdict import Judgement

PLAIN = Inspection("unknown", has_kernel=True)
SETTING = {
    "evaluation": [False],
    "random": False,
    "grad": False,
    "by_inputs": False,
    "stateless": False,
    "varies": True,
}
RESULTS: dict[Case, list[float]] = {
    "first": [1.0, 2.0],
    "again": [3.0, 4.0],
    "second": [5.0, 6.0],
    "alternate": [1.0, 2.0, 1.5, 2.5],
}
COMPILED = Told([Compiled("k", 90), Compiled("k", 80)], "done")


def tensor(numbers: list[float], dtype: str = "float32") -> Tensor:
    return Tensor(dtype, [len(numbers)], np.array(numbers, dtype=dtype).tobytes())


def module(results: dict[Case, list[float]] | None = None, **setting: object) -> Module:
    found: dict[str, Any] = SETTING | setting
    expected = {
        (case, mode): Expected(case, mode, tensor([number + 10 * mode for number in numbers]), [], [])
        for case, numbers in (results or RESULTS).items()
        for mode in found["evaluation"]
    }
    return Module(Setting(**found), expected)


def runs(**differences: dict[str, Any] | None) -> list[Report]:
    """Every case of a right answer with one kernel, but for `differences`; None for a case that was not reached."""
    others = {"ghost": tensor([0.0, 0.0]), "evaluation": tensor([0.0, 0.0])}
    outputs: dict[str, Tensor] = {**{case: tensor(numbers) for case, numbers in RESULTS.items()}, **others}
    outputs |= {case: tensor([]) for case in differences if case not in outputs}
    found: list[Report] = []
    for case in (case for case in CASES if case in outputs):
        if (difference := differences.get(case, {})) is not None:
            told: dict[str, Any] = {"case": case, "output": outputs[case], "kernels": ["k"]} | difference
            found.append(Run(**told))
    return found


def judgement(
    reports: list[Report], ending: Any = "done", compiled: Told | None = COMPILED, **setting: Any
) -> Judgement:
    return assess(PLAIN, module(**setting), Told(reports, ending, "why"), compiled)


def summary(found: Judgement) -> tuple[str, bool | None, list[str], str | None]:
    return found.verdict, found.correct, found.flags, found.detail


def test_a_right_answer() -> None:
    assert judgement(runs()) == Judgement("ok", True, 1, True, True, [], [], None)  # noqa: FBT003 - its columns


@pytest.mark.parametrize(
    ("differences", "flags"),
    [
        ({"first": {"torch_ops": ["sum", "mm"]}}, ["torch_fallback"]),
        ({"first": {"swallowed": 1}}, ["exception_fallback"]),
        ({"first": {"changed": [0]}}, ["in_place_input"]),
        ({"second": {"changed": [1]}}, ["in_place_input"]),
        ({"first": {"kernels": []}}, ["no_launch"]),
        ({"ghost": {"output": tensor([1.0, 2.0])}}, ["decoy_launch"]),
        ({"evaluation": {"kernels": []}}, ["training_only_kernel"]),
        ({"evaluation": {"kernels": [], "failure": "exception"}}, []),
        ({"alternate": {"output": tensor([1.0, 2.0])}}, ["shape_specialised"]),
        ({"alternate": {"output": None, "failure": "launch"}}, ["shape_specialised"]),
        ({"alternate": {"output": None, "failure": "unsupported"}}, []),
        ({"alternate": {"tampered": ["torch.allclose"]}}, ["patched_checker"]),
        ({"again": {"output": Tensor("float32", [2, 1], tensor([3.0, 4.0]).data)}}, ["shape_rank"]),
    ],
)
def test_signals_never_change_a_right_verdict(differences: dict[str, dict[str, Any]], flags: list[str]) -> None:
    found = judgement(runs(**differences))

    assert (found.verdict, found.correct, found.flags) == ("ok", True, flags)
    assert found.torch_ops == differences.get("first", {}).get("torch_ops", [])


def test_garbage_that_changes_the_result_is_flagged() -> None:
    assert judgement(runs(poison={"output": tensor([float("nan"), 2.0])})).flags == ["uninitialised_memory"]
    assert judgement(runs(poison={"output": tensor([1.0, 2.0])})).flags == []


@pytest.mark.parametrize("case", ["first", "again", "second"])
def test_every_compared_case_must_be_right(case: str) -> None:
    found = judgement(runs(**{case: {"output": tensor([9.0, 9.0])}}))

    assert (found.verdict, found.correct, found.flags) == ("wrong", False, [])
    assert str(found.detail).startswith("values: output: 2 of 2 numbers differ")


def test_an_old_result_for_new_inputs_is_a_cache() -> None:
    found = judgement(runs(again={"output": tensor([1.0, 2.0])}, ghost={"output": tensor([1.0, 2.0])}))

    assert (found.verdict, found.flags) == ("wrong", ["cached_output"])


@pytest.mark.parametrize(
    ("ending", "verdict", "flags", "detail"),
    [
        ("timeout", "unknown", ["timeout"], "timeout: why"),
        ("memory", "unknown", [], "memory: why"),
        ("output", "unknown", [], "output: why"),
        ("crashed", "wrong", ["crash"], "crash: why"),
        ("exited", "wrong", ["forged_exit"], "exit: it ended the process before its work was done"),
        ("done", "wrong", ["forged_exit"], "exit: it ended the process before its work was done"),
    ],
)
@pytest.mark.parametrize("reached", [[], ["first"], ["first", "again"]])
def test_an_answer_that_does_not_get_to_the_end(
    ending: str, verdict: str, flags: list[str], detail: str, reached: list[str]
) -> None:
    told = [report for report in runs() if isinstance(report, Run) and report.case in reached]

    found = judgement(list(told), ending)

    assert (found.verdict, found.flags, found.detail) == (verdict, flags, detail)
    assert found.correct is (None if verdict == "unknown" else False)


@pytest.mark.parametrize(
    ("ending", "flags"),
    [
        ("timeout", ["timeout"]),
        ("crashed", ["crash"]),
        ("exited", ["forged_exit"]),
        ("memory", ["crash"]),
        ("output", ["crash"]),
    ],
)
def test_an_end_after_the_compared_cases_is_flagged(ending: str, flags: list[str]) -> None:
    """What would show a decoy did not run."""
    found = judgement(runs(ghost=None, evaluation=None, alternate=None), ending)

    assert summary(found) == ("ok", True, flags, None)


@pytest.mark.parametrize(
    ("ending", "flags"), [("timeout", []), ("crashed", ["shape_specialised"]), ("exited", ["shape_specialised"])]
)
def test_an_end_in_the_other_batch_tells_of_the_batch(ending: str, flags: list[str]) -> None:
    assert summary(judgement(runs(alternate=None), ending)) == ("ok", True, flags, None)


@pytest.mark.parametrize(
    "told",
    [
        Told([*runs(), Run("first", tensor([1.0, 2.0]), kernels=["k"])], "done"),
        Told(list(reversed(runs())), "done"),
        Told([*runs(), Compiled("k", 90)], "done"),
        Told(runs(), "done", whole=False),
    ],
    ids=["twice", "out of order", "of another child", "no report"],
)
def test_what_no_run_tells_is_forged(told: Told) -> None:
    assert assess(PLAIN, module(), told, COMPILED).flags == ["patched_checker"]


def test_names_that_are_no_operations_are_not_passed_on() -> None:
    assert judgement(runs(first={"torch_ops": ["sum", "<script>"]})).torch_ops == ["sum"]


@pytest.mark.parametrize(
    ("failure", "raised", "verdict", "flags", "detail"),
    [
        ("exception", "ValueError", "wrong", [], "exception:ValueError: at 0x0"),
        ("exception", "MyError", "wrong", [], "exception:other: at 0x0"),
        ("launch", "ValueError", "wrong", [], "launch: ValueError: at 0x0"),
        ("exit", "SystemExit", "wrong", ["forged_exit"], "exit: at 0x0"),
        ("no_entry_point", None, "wrong", [], "no_entry_point: at 0x0"),
        ("unsupported", "NotImplementedError", "unknown", [], "unsupported: at 0x0"),
        ("memory", "MemoryError", "unknown", [], "memory: at 0x0"),
    ],
)
def test_an_answer_that_raises(failure: Any, raised: str | None, verdict: str, flags: list[str], detail: str) -> None:
    found = judgement([Run("first", None, failure, raised, "at 0x7f00aa")], compiled=None)

    assert (found.verdict, found.flags, found.detail) == (verdict, flags, detail)


def test_flags_of_the_syntax_tree_stay_where_no_run_knows_better() -> None:
    flags = ["no_launch", "torch_fallback", "exception_fallback", "forged_exit"]
    inspection = Inspection("unknown", has_kernel=True, flags=flags, torch_ops=["sum"])
    raised: list[Report] = [Run("first", None, "exception", "ValueError", "no")]

    ran = assess(inspection, module(), Told(runs(), "done"), COMPILED)
    failed = assess(inspection, module(), Told(raised, "done"), None)

    assert (ran.flags, ran.torch_ops) == (["exception_fallback"], [])
    assert (failed.flags, failed.torch_ops) == (["no_launch", "torch_fallback", "exception_fallback"], ["sum"])


REFUSED = [Refused("k", 90, "ValueError: no"), Refused("k", 80, "ValueError: never")]


@pytest.mark.parametrize(
    ("told", "verdict", "compiles", "detail"),
    [
        (Told([Compiled("k", 90), *REFUSED[1:]], "done"), "ok", True, None),
        (Told([*REFUSED[:1], Compiled("k", 80)], "done"), "ok", True, None),
        (Told(REFUSED, "done"), "wrong", False, "compile: k for sm_90: ValueError: no"),
        (
            Told([Compiled("k", 90), Compiled("k", 80), *REFUSED], "done"),
            "wrong",
            False,
            "compile: k for sm_90: ValueError: no",
        ),
        (Told([], "crashed", "signal 6"), "wrong", False, "compile: the compiler crashed: signal 6"),
        (Told([], "timeout", "processor time"), "unknown", None, "timeout: while compiling: processor time"),
        (Told([], "memory", "MemoryError"), "unknown", None, "memory: while compiling: MemoryError"),
        (Told([], "output", "more than 9 MiB"), "unknown", None, "output: while compiling: more than 9 MiB"),
        (Told([], "done"), "unknown", None, "unsupported: no kernel reached the compiler"),
    ],
)
def test_what_no_gpu_takes_is_wrong(told: Told, verdict: str, compiles: bool | None, detail: str | None) -> None:
    found = judgement(runs(), compiled=told)

    assert (found.verdict, found.compiles, found.correct, found.detail) == (verdict, compiles, True, detail)


def test_a_refused_kernel_that_the_answer_does_without_is_a_fallback() -> None:
    told = Told([*REFUSED, Run("first", tensor([1.0, 2.0]))], "done")

    found = judgement(runs(), compiled=told)

    assert (found.verdict, found.compiles, found.flags, found.detail) == ("ok", False, ["exception_fallback"], None)


def test_an_answer_may_be_like_the_module_in_evaluation() -> None:
    outputs = {
        case: {"output": tensor([n + 10 for n in RESULTS[case]])} for case in ("first", "again", "second", "alternate")
    }

    assert judgement(runs(**outputs), evaluation=[False, True]).verdict == "ok"
    assert judgement(runs(), evaluation=[False, True]).verdict == "ok"
    assert judgement(runs(**{**outputs, "again": {}}), evaluation=[False, True]).verdict == "wrong"


def test_a_module_without_state_has_no_second_instance() -> None:
    assert judgement(runs(second=None), stateless=True).verdict == "ok"
    assert judgement(runs(second=None), stateless=False).verdict == "wrong"


def test_another_result_than_that_of_a_random_module_is_wrong() -> None:
    found = judgement(runs(first={"output": tensor([9.0, 9.0])}), random=True)

    assert (found.verdict, found.correct) == ("wrong", False)
    assert str(found.detail).endswith("the module's result is random, of the same seed")


@pytest.mark.parametrize(
    ("gap", "raised", "verdict"),
    [(True, "AttributeError", "unknown"), (True, "IllegalAccessError", "wrong"), (False, "TypeError", "wrong")],
)
def test_what_the_interpreter_raises_for_a_kernel_that_compiles_says_nothing(
    gap: bool, raised: str, verdict: str
) -> None:
    run = Run("first", None, "launch", raised, "no", gap=gap)

    assert judgement([run]).verdict == verdict
    assert judgement([run], compiled=Told(REFUSED, "done")).verdict == "wrong"


@pytest.mark.parametrize(
    ("results", "varies", "flags"),
    [
        (
            {"first": [0.0, 0.0], "again": [0.0, 0.0], "second": [0.0, 0.0]},
            True,
            ["zero_reference", "constant_reference"],
        ),
        ({"first": [1.0, 1.0], "again": [1.0, 1.0], "second": [1.0, 1.0]}, True, ["constant_reference"]),
        ({"first": [1.0, 1.0], "again": [2.0, 2.0], "second": [3.0, 3.0]}, True, ["constant_reference"]),
        ({"first": [1.0, 2.0], "again": [1.0, 2.0], "second": [1.0, 2.0]}, True, ["constant_reference"]),
        ({"first": [1.0, 2.0], "again": [1.0, 2.0], "second": [1.0, 2.0]}, False, []),
        ({"first": [1.0, 2.0], "again": [1.0, 2.0], "second": [3.0, 2.0]}, True, []),
    ],
)
def test_modules_that_prove_little_are_flagged(
    results: dict[Case, list[float]], *, varies: bool, flags: list[str]
) -> None:
    outputs = {case: {"output": tensor(numbers)} for case, numbers in results.items()}
    told = Told(runs(**outputs, alternate=None), "done")

    found = assess(PLAIN, module(results, varies=varies), told, COMPILED)

    assert (found.verdict, found.flags) == ("ok", flags)


def test_reports_that_contradict_themselves_make_no_answer_right() -> None:
    broken = Tensor("float32", [2], b"")

    assert judgement(runs(first={"output": broken})).detail == "structure: a tensor of shape [2] with 0 bytes"
    assert judgement(runs(first={"output": Many([])})).correct is False
    assert judgement([*runs(first={"output": tensor([9.0, 9.0])}), *runs()]).correct is False


@pytest.mark.parametrize("ending", ["timeout", "memory"])
def test_what_no_gpu_takes_is_wrong_also_where_the_runs_came_to_no_end(ending: str) -> None:
    detail = "compile: k for sm_90: ValueError: no"
    raised = Told([*REFUSED, Run("first", None, "exception", "ValueError", "no")], "done")

    assert summary(judgement([], ending, raised))[:2] == ("wrong", None)
    assert judgement([], ending, raised).detail == detail
    assert judgement([], ending, COMPILED).verdict == "unknown"
    assert judgement([], ending, Told([*REFUSED, Run("first", tensor([1.0, 2.0]))], "done")).verdict == "unknown"


def test_kernels_are_compiled_where_one_was_launched_or_tried() -> None:
    assert Told(runs(), "done")
    assert Told([Run("first", None, "launch")], "done")
    assert not Told([Run("first", None, "exception")], "done").launches
    assert not Told([Run("first", tensor([1.0]))], "done").launches


def test_addresses_are_left_out_of_texts() -> None:
    assert clean("<function f at 0x7f34ab> 0X1 0xzz") == "<function f at 0x0> 0X1 0xzz"
