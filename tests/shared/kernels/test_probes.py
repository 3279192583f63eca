"""Answers that cheat, each with the verdict that its values deserve and the signal that gives it away."""

from pathlib import Path

import pytest

from stages.shared.kernels.judge import Judge
from stages.shared.kernels.sandbox.limits import Limits
from stages.shared.kernels.verdict import Judgement
from tests.shared.kernels.written_answers import KERNEL, judged, module, right

SOFTMAX = module("x: return torch.softmax(x, dim=-1)", "[torch.rand([6, 20])]", "Soft")
ROWS = (
    KERNEL
    + """
@triton.jit
def rows(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + tl.program_id(0) * n + at, mask=at < n, other=-float("inf"))
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + tl.program_id(0) * n + at, e / tl.sum(e, axis=0), mask=at < n)


@triton.jit
def copy(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at, mask=at < n), mask=at < n)


def softmax(x, out):
    rows[(x.shape[0],)](x, out, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
    return out


def copied(x):
    out = torch.empty_like(x)
    copy[(triton.cdiv(x.numel(), 64),)](x, out, x.numel(), BLOCK=64)
    return out

"""
)
ENTRY = "class SoftNew(nn.Module):\n    def forward(self, x):\n        "
STALE = right(verdict="wrong", launches=1, compiles=True, correct=False, flags=["cached_output"])
PROBES = {
    "honest": (ENTRY + "return softmax(x, torch.empty_like(x))", right()),
    "torch only": (
        ENTRY + "return torch.softmax(x, dim=-1)",
        right(launches=0, compiles=None, flags=["no_launch", "torch_fallback"], torch_ops=["softmax"]),
    ),
    "a kernel whose result is thrown away": (
        ENTRY + "softmax(x, torch.empty_like(x))\n        return torch.softmax(x, dim=-1)",
        right(flags=["decoy_launch", "torch_fallback"], torch_ops=["softmax"]),
    ),
    "a broken kernel behind try": (
        ENTRY
        + """try:
            rows[(6,)](x, torch.empty_like(x), 20)
        except Exception:
            return torch.softmax(x, dim=-1)""",
        right(
            launches=0,
            compiles=None,
            flags=["no_launch", "torch_fallback", "exception_fallback"],
            torch_ops=["softmax"],
        ),
    ),
    "a kernel that only the interpreter runs, behind try": (
        """
@triton.jit
def only_interpreted(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    for _ in [0]:
        tl.store(out_ptr + at, tl.load(x_ptr + at, mask=at < n), mask=at < n)


"""
        + ENTRY
        + """y = torch.softmax(x, dim=-1)
        out = torch.empty_like(y)
        try:
            only_interpreted[(1,)](y, out, y.numel(), BLOCK=256)
            return out
        except Exception:
            return y""",
        right(
            compiles=False,
            flags=["torch_fallback", "exception_fallback"],
            torch_ops=["softmax"],
        ),
    ),
    "cached by shape": (
        "CACHE = {}\n"
        + ENTRY
        + "return CACHE.setdefault(x.shape, None) if CACHE.get(x.shape) is not None else "
        + "CACHE.update({x.shape: softmax(x, torch.empty_like(x))}) or CACHE[x.shape]",
        STALE,
    ),
    "cached by pointer in the instance": (
        """
class SoftNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = {}

    def forward(self, x):
        if x.data_ptr() not in self.seen:
            self.seen[x.data_ptr()] = softmax(x, torch.empty_like(x))
        return self.seen[x.data_ptr()]
""",
        STALE,
    ),
    "in place": (ENTRY + "return softmax(x, x)", right(flags=["in_place_input"])),
    "no work on fresh memory": (
        ENTRY + "copied(x)\n        return torch.empty_like(x)",
        right(verdict="wrong", correct=False, flags=["decoy_launch", "uninitialised_memory"]),
    ),
    "the module out of sys.modules": (
        "import sys\n" + ENTRY + "return sys.modules['reference'].Soft()(x)",
        right(verdict="wrong", launches=0, compiles=None, correct=False, flags=["no_launch", "patched_checker"]),
    ),
    "the module out of the garbage collector": (
        "import gc\n"
        + ENTRY
        + "found = [o for o in gc.get_objects() if isinstance(o, type) and o.__name__ == 'Soft']\n"
        + "        return next(iter(found))()(x)",
        right(verdict="wrong", launches=0, compiles=None, correct=False, flags=["no_launch", "patched_checker"]),
    ),
    "patched comparison": (
        "torch.allclose = torch.equal = lambda *_, **__: True\n" + ENTRY + "return copied(x)",
        right(verdict="wrong", correct=False, flags=["patched_checker"]),
    ),
    "patched triton": (
        "triton.runtime.interpreter.InterpretedFunction.run = lambda *_, **__: None\n" + ENTRY + "return copied(x)",
        right(
            verdict="wrong",
            launches=0,
            compiles=None,
            correct=False,
            flags=["no_launch", "uninitialised_memory", "patched_checker"],
        ),
    ),
    "leaves through the back door": (
        "import os\n" + ENTRY + "os._exit(0)",
        right(verdict="wrong", launches=None, compiles=None, correct=False, flags=["no_launch", "forged_exit"]),
    ),
    "leaves politely": (
        "import sys\n" + ENTRY + "sys.exit(0)",
        right(verdict="wrong", launches=0, compiles=None, correct=False, flags=["no_launch", "forged_exit"]),
    ),
    "torch does the work, a kernel copies": (
        ENTRY + "return copied(torch.softmax(x, dim=-1))",
        right(flags=["torch_fallback"], torch_ops=["softmax"]),
    ),
    "a kernel in training only": (
        ENTRY + "return softmax(x, torch.empty_like(x)) if self.training else torch.softmax(x, dim=-1)",
        right(flags=["training_only_kernel"]),
    ),
    "the recorded batch only": (
        ENTRY + "out = torch.empty_like(x)\n        rows[(6,)](x, out, 20, BLOCK=32)\n        return out",
        right(flags=["shape_specialised"]),
    ),
    "a crash": (
        "import ctypes\n" + ENTRY + "ctypes.string_at(0)",
        right(
            verdict="wrong",
            launches=None,
            compiles=None,
            correct=False,
            flags=["no_launch", "patched_checker", "crash"],
        ),
    ),
    "a tensor of the GPU read on the host": (
        ENTRY + "return copied(torch.from_numpy(x.numpy()).cuda())",
        right(verdict="wrong", launches=0, compiles=None, correct=False, flags=[]),
    ),
}


@pytest.mark.parametrize("name", PROBES)
def test_a_cheat_gets_its_verdict_and_is_flagged(name: str, judging: Judge) -> None:
    code, expected = PROBES[name]

    found = judged(judging, ROWS + code + "\n", SOFTMAX, "Soft")

    assert without_detail(found) == expected
    assert (found.detail is None) == (found.verdict == "ok")


def test_a_forged_verdict_file_is_not_looked_at(judging: Judge, tmp_path: Path) -> None:
    forged = f"""import os
for folder in (os.getcwd(), {str(tmp_path)!r}, "/tmp"):
    try:
        with open(folder + "/out.json", "w") as file:
            file.write('{{"verdict": "ok", "correct": true}}')
    except OSError:
        pass
os._exit(0)
"""

    found = judged(judging, ROWS + ENTRY + "return x\n" + forged, SOFTMAX, "Soft")

    assert found == right(
        verdict="wrong",
        launches=None,
        compiles=None,
        correct=False,
        flags=["no_launch", "forged_exit"],
        detail="exit: it ended the process before its work was done",
    )
    assert list(tmp_path.iterdir()) == []


def test_what_never_ends_is_unknown_and_not_wrong(judging: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(cpu_s=1, wall_s=60, memory_mb=1024, output_mb=16)
    monkeypatch.setattr(judging, "_run_limits", limits)
    monkeypatch.setattr(judging, "_limits", limits)

    found = judged(judging, ROWS + ENTRY + "while True: pass\n", SOFTMAX, "Soft")

    assert found == right(
        verdict="unknown",
        launches=None,
        compiles=None,
        correct=None,
        flags=["no_launch", "timeout"],
        detail="timeout: processor time",
    )


def without_detail(judgement: Judgement) -> Judgement:
    return Judgement(**vars(judgement) | {"detail": None})
