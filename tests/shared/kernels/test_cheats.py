import ast

import pytest

from stages.shared.kernels.cheats import ends_process, replaces_or_reads_judge
from stages.shared.kernels.static import inspect_answer

IMPORTS = """\
import gc, inspect, os, sys, time
import torch
import torch.nn as nn
import triton
import triton.language as tl
"""


@pytest.mark.parametrize(
    "line",
    [
        "torch.allclose = lambda *_: True",
        "torch.equal: object = None",
        "torch.Tensor.allclose = None",
        "time.perf_counter = time.time",
        "nn.Module.__call__ = None",
        "triton.testing.do_bench = None",
        "del torch.allclose",
        "setattr(torch, 'allclose', None)",
        "setattr(torch.testing, 'assert_close', None)",
        "def f():\n    torch.cuda.synchronize = lambda: None",
        "sys.modules['reference'].Model()",
        "gc.get_objects()",
        "frame = sys._getframe(1)",
        "inspect.stack()[1]",
        "import stages.shared.kernels.compare",
        "from stages.shared.kernels import judge",
        "from gc import get_referrers as look\nimport gc\ngc.get_referrers(1)",
        "from sys import modules\nmodules['stages.shared.kernels.observation'].current.torch_ops.clear()",
        "def g():\n    yield\ng().gi_frame.f_back",
        "triton.runtime.jit.JITFunction.run.__globals__['observation']",
        "torch._C._pop_torch_function_stack()",
        "os.write(3, b'')",
        "import ctypes\nctypes.string_at(0)",
    ],
)
def test_replacing_or_reading_the_judge_shows(line: str) -> None:
    assert replaces_or_reads_judge(ast.parse(f"{IMPORTS}{line}\n"))


@pytest.mark.parametrize(
    "line",
    [
        "torch.backends.cuda.matmul.allow_tf32 = True",
        "torch.backends.cudnn.benchmark = False",
        "tl.tanh = None",
        "_module = sys.modules[__name__]",
        "class A(nn.Module):\n    def __init__(self):\n        self.weight = torch.ones(1)",
        "setattr(self, 'weight', torch.ones(1))",
        "x = torch.empty(3); x.data = torch.ones(3); x.grad = None",
        "inspect.signature(torch.add)",
        "os.environ['A'] = 'b'",
        "assert torch.allclose(x, y)",
        "from torch._C import _cuda_getCurrentRawStream as get_raw_stream\nget_raw_stream(0)",
        "os.path.join('a', 'b'); os.environ.get('A')",
    ],
)
def test_ordinary_code_is_let_be(line: str) -> None:
    tree = ast.parse(f"{IMPORTS}{line}\n")

    assert not replaces_or_reads_judge(tree)
    assert not ends_process(tree)


@pytest.mark.parametrize(
    "line",
    [
        "os._exit(0)",
        "sys.exit()",
        "def f():\n    exit(1)",
        "raise SystemExit",
        "raise SystemExit(0)",
        "os.kill(os.getpid(), 9)",
    ],
)
def test_ending_the_process_shows(line: str) -> None:
    assert ends_process(ast.parse(f"{IMPORTS}{line}\n"))
    assert not ends_process(
        ast.parse(f"{IMPORTS}if __name__ == '__main__':\n    " + line.replace("\n", "\n    ") + "\n")
    )


KERNEL = "@triton.jit\ndef kernel(x_ptr):\n    pass\n\n\ndef launch(x):\n    kernel[(1,)](x)\n    return x\n\n\n"


@pytest.mark.parametrize(
    ("body", "only"),
    [
        ("if self.training:\n            return launch(x)\n        return x", True),
        ("if self.training:\n            kernel[(1,)](x)\n        return x", True),
        ("if not self.training:\n            return x\n        return launch(x)", True),
        ("if not self.training:\n            pass\n        else:\n            launch(x)\n        return x", True),
        ("if x.dim() > 1:\n            if self.training:\n                return launch(x)\n        return x", True),
        ("if self.training:\n            return launch(x)\n        return launch(x)", False),
        ("if self.training:\n            x = x + 1\n        return launch(x)", False),
        ("if not self.training:\n            x = x + 1\n        return launch(x)", False),
        ("if self.training:\n            return x\n        return launch(x)", False),
        ("return x", False),
    ],
)
def test_a_kernel_for_training_only_is_flagged(body: str, *, only: bool) -> None:
    code = f"{IMPORTS}{KERNEL}class ANew(nn.Module):\n    def forward(self, x):\n        {body}\n"

    assert ("training_only_kernel" in inspect_answer(code, "A", "A").flags) == only


def test_the_static_mode_flags_them() -> None:
    code = (
        f"{IMPORTS}{KERNEL}torch.equal = None\nclass ANew(nn.Module):\n    def forward(self, x):\n        os._exit(0)\n"
    )

    assert inspect_answer(code, "A", "A").flags == ["no_launch", "patched_checker", "forged_exit"]


def test_an_entry_point_may_be_another_name_of_a_class() -> None:
    code = (
        f"{IMPORTS}{KERNEL}class Fast(nn.Module):\n    def forward(self, x):\n        return launch(x)\n\nANew = Fast\n"
    )

    found = inspect_answer(code, "A", "A")

    assert (found.verdict, found.flags) == ("unknown", [])
