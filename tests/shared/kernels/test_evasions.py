"""Answers that hide from whoever watches how they come to their results, which are right."""

import pytest

from stages.shared.kernels.judge import Judge
from tests.shared.kernels.test_probes import ENTRY, ROWS, SOFTMAX
from tests.shared.kernels.written_answers import judged, module, right

HIDDEN_SOFTMAX = {
    "no functions of torch": """with torch._C.DisableTorchFunction():
            y = torch.softmax(x, -1)""",
    "the watching mode taken off": """m = torch._C._pop_torch_function_stack()
        y = torch.softmax(x, -1)
        torch._C._push_on_torch_function_stack(m)""",
    "traced code": "y = torch.jit.trace(lambda x: torch.softmax(x, -1), x)(x)",
    "code that torch compiles": """code = "def f(x):" + chr(10) + "    return torch.softmax(x, -1)" + chr(10)
        y = torch.jit.CompilationUnit(code).f(x)""",
    "a function that torch calls": """own = lambda x: torch.softmax(x, -1)
        y = torch.overrides.handle_torch_function(own, (x,), x)""",
    "a callback": """o = []
        torch.zeros(1, device="cpu").apply_(lambda v: (o.append(x.softmax(-1)), 0.0)[1])
        y = o[0]""",
    "another name": "y = torch._masked_softmax(x, torch.zeros(x.shape, dtype=torch.bool, device='cuda'), 1, 0)",
    "an operator": "y = torch.ops.aten._softmax(x, -1, False)",
}
ENDS = {
    "never": ("while True: pass", ["timeout"]),
    "by itself": ("__import__('os')._exit(0)", ["forged_exit"]),
    "with noise": ("open(3, 'wb', closefd=False).write(b'!' * 64)", ["crash"]),
}


@pytest.mark.parametrize("name", HIDDEN_SOFTMAX)
def test_work_left_to_torch_shows_however_torch_is_called(name: str, judging: Judge) -> None:
    found = judged(judging, f"{ROWS}{ENTRY}{HIDDEN_SOFTMAX[name]}\n        return copied(y)\n", SOFTMAX, "Soft")

    assert (found.verdict, set(found.torch_ops)) == ("ok", {"softmax"})
    assert "torch_fallback" in found.flags


def test_work_in_another_thread_shows(judging: Judge) -> None:
    code = """o = []
        t = threading.Thread(target=lambda: o.append(torch.softmax(x, -1)))
        t.start()
        t.join()
        return copied(o[0])
"""

    found = judged(judging, f"import threading\n{ROWS}{ENTRY}{code}", SOFTMAX, "Soft")

    assert found == right(flags=["patched_checker"])


@pytest.mark.parametrize("how", ENDS)
def test_a_decoy_that_does_not_get_to_the_call_without_kernels_is_flagged(how: str, judging: Judge) -> None:
    """Its kernel copies what nobody reads; in the third call kernels do nothing."""
    ends, flags = ENDS[how]
    body = f"""global calls
        calls += 1
        total = torch.exp(x)[:, :1]
        for column in range(1, x.shape[1]):
            total = total + torch.exp(x)[:, column:column + 1]
        copied(x)
        if calls > 2:
            {ends}
        return torch.exp(x) / total
"""

    found = judged(judging, f"calls = 0\n{ROWS}{ENTRY}{body}", SOFTMAX, "Soft")

    assert (found.verdict, found.correct) == ("ok", True)
    assert set(flags) <= set(found.flags)
    assert "decoy_launch" not in found.flags


def test_inputs_in_a_list_have_memory_of_their_own(judging: Judge) -> None:
    pair = module("xs: return xs[0] * xs[1]", "[[torch.rand(4, 4), torch.rand(4, 4)]]", "Pair")
    code = """class PairNew(nn.Module):
    def forward(self, xs):
        a, b = xs
        copied(a)
        y = a * b
        a.add_(1)
        return y
"""

    assert judged(judging, ROWS + code, pair, "Pair") == right(flags=["decoy_launch", "in_place_input"])


def test_the_judge_cannot_be_imported(judging: Judge) -> None:
    looks = "import importlib\nimportlib.import_module('.'.join(['stages', 'shared', 'kernels', 'observation']))\n"

    found = judged(judging, f"{ROWS}{looks}{ENTRY}return x\n", SOFTMAX, "Soft")

    assert found.detail == "exception:ModuleNotFoundError: No module named 'stages'"
