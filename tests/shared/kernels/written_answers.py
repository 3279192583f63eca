"""Modules and answers to them, as models write them, for tests that judge."""

from typing import Any

from stages.shared.kernels.judge import Judge
from stages.shared.kernels.verdict import Job, Judgement

IMPORTS = """\
import torch
import torch.nn as nn
import torch.nn.functional as F
import triton
import triton.language as tl
"""


def module(forward: str, inputs: str = "[torch.rand([4, 4, 4, 4])]", name: str = "Wave") -> str:
    """A module without parameters, in KernelBook's form; `forward` begins with its arguments: `x: return x + 1`."""
    given, _, body = forward.partition(":")
    return f"""{IMPORTS}

class {name}(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, {given}):
        {body.strip()}


def get_inputs():
    return {inputs}


def get_init_inputs():
    return [[], {{}}]
"""


WAVE = module("x: return x * x + torch.sin(x)")
KERNEL = (
    IMPORTS
    + """

@triton.jit
def wave(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, x * x + tl.sin(x), mask=at < n)


def launched(x):
    out = torch.empty_like(x)
    wave[(triton.cdiv(x.numel(), 64),)](x, out, x.numel(), BLOCK=64)
    return out

"""
)
"""The kernel of `WAVE` and a function that launches it, to which a test adds the entry point."""


def judged(judging: Judge, answer: str, code: str = WAVE, name: str = "Wave") -> Judgement:
    return judging.judge(Job(code, name, name, answer))


def right(**differences: Any) -> Judgement:
    """The judgement of a right answer that launches one kernel, but for `differences`."""
    plain: dict[str, Any] = {
        "verdict": "ok",
        "has_kernel": True,
        "launches": 1,
        "compiles": True,
        "correct": True,
        "flags": [],
        "torch_ops": [],
        "detail": None,
    }
    return Judgement(**plain | differences)
