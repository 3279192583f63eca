"""Generated PyTorch modules, each with the kernel that answers it: small, real, and of endless variety."""

import random
from typing import NamedTuple

from tests.bench.library_text import LibraryText, fill

_ADJECTIVES = [
    *("Adaptive", "Additive", "Attentive", "Balanced", "Bounded", "Causal", "Centered", "Channel", "Clipped"),
    *("Conditional", "Context", "Cosine", "Cross", "Damped", "Deep", "Dense", "Depth", "Dual", "Dynamic"),
    *("Fast", "Fused", "Gated", "Global", "Grouped", "Hard", "Hybrid", "Layered", "Linear", "Local", "Masked"),
    *("Mixed", "Multi", "Noisy", "Parallel", "Pooled", "Recurrent", "Residual", "Scaled", "Shifted", "Sparse"),
    *("Spatial", "Squeeze", "Stable", "Temporal", "Tied", "Weighted", "Wide"),
]
_NOUNS = [
    *("Affine", "Anchor", "Bias", "Boundary", "Contrast", "Edge", "Embedding", "Energy", "Entropy", "Feature"),
    *("Focal", "Frame", "Gradient", "Graph", "Head", "Kernel", "Key", "Label", "Latent", "Margin", "Memory"),
    *("Moment", "Norm", "Patch", "Phase", "Pixel", "Position", "Projection", "Query", "Region", "Response"),
    *("Score", "Signal", "Slot", "State", "Token", "Value"),
]
_KINDS = [
    *("Activation", "Attention", "Block", "Cell", "Decoder", "Encoder", "Gate", "Layer", "Loss", "Mixer"),
    *("Model", "Module", "Net", "Pool", "Unit"),
]

# In PyTorch and in Triton; c is a constant.
_POINTWISE = (
    ("torch.relu(x)", "tl.maximum(x, 0.0)"),
    ("torch.sigmoid(x)", "tl.sigmoid(x)"),
    ("x * torch.sigmoid(x)", "x * tl.sigmoid(x)"),
    ("torch.exp(-torch.abs(x))", "tl.exp(-tl.abs(x))"),
    ("torch.sqrt(torch.abs(x) + {c})", "tl.sqrt(tl.abs(x) + {c})"),
    ("torch.clamp(x, min=-{c}, max={c})", "tl.minimum(tl.maximum(x, -{c}), {c})"),
    ("torch.where(x > {c}, x, {c} * x)", "tl.where(x > {c}, x, {c} * x)"),
    ("x / (1.0 + torch.abs(x))", "x / (1.0 + tl.abs(x))"),
    ("torch.cos(x) - {c}", "tl.cos(x) - {c}"),
    ("x * {c}", "x * {c}"),
    ("x + {c}", "x + {c}"),
    ("x * x - {c}", "x * x - {c}"),
)
# In `__init__` and in `forward`; i numbers the layers, d is a dimension. None changes the shape.
_LAYERS = (
    ("self.linear_{i} = nn.Linear(size, size)", "x = self.linear_{i}(x)"),
    ("self.norm_{i} = nn.LayerNorm(size)", "x = self.norm_{i}(x)"),
    ("self.scale_{i} = nn.Parameter(torch.ones(size))", "x = x * self.scale_{i}"),
    ("self.mix_{i} = nn.Parameter(torch.eye(size))", "x = torch.matmul(x, self.mix_{i})"),
    ("self.softmax_{i} = nn.Softmax(dim={d})", "x = self.softmax_{i}(x)"),
    ("self.dim_{i} = {d}", "x = x - x.mean(dim=self.dim_{i}, keepdim=True)"),
    ("self.dim_{i} = {d}", "x = torch.cumsum(x, dim=self.dim_{i})"),
)

_MODULE = """import torch
from torch import nn


{functions}class {name}(nn.Module):
    \"\"\"{doc}\"\"\"

    def __init__(self, size):
        super().__init__()
{init}

    def forward(self, x):
{forward}
        return x


def get_inputs():
    return [torch.rand([4, {batch}, 4, {size}])]


def get_init_inputs():
    return [[], {{'size': {size}}}]
"""

_KERNEL = """import torch
from torch import nn
import triton
import triton.language as tl


@triton.jit
def pointwise_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    x = tl.load(x_ptr + at, mask=mask, other=0.0)
{kernel}
    tl.store(y_ptr + at, x, mask=mask)


class {name}New(nn.Module):

    def __init__(self, size):
        super().__init__()
{init}

    def forward(self, x):
{layers}
        x = x.contiguous()
        y = torch.empty_like(x)
        pointwise_kernel[(triton.cdiv(x.numel(), {block}),)](x, y, x.numel(), BLOCK={block})
        return y
"""


class TorchModule(NamedTuple):
    """A module and its answer."""

    name: str
    python_code: str
    triton_code: str
    """As a compiler writes it: long, and all alike."""
    kernel_code: str
    """A file with a Triton kernel and the class `{name}New`."""


def module_names() -> list[str]:
    """Some 27,000 different class names."""
    return [adjective + noun + kind for adjective in _ADJECTIVES for noun in _NOUNS for kind in _KINDS]


def torch_module(name: str, key: str, text: LibraryText) -> TorchModule:
    """The module of a name; another `key` gives other code."""
    draw = random.Random(key)
    layers = [_filled(draw, draw.choice(_LAYERS), i) for i in range(draw.randint(0, 3))]
    steps = [_filled(draw, draw.choice(_POINTWISE), i) for i in range(draw.randint(1, 6))]
    init = _indented([line for line, _ in layers] or ["self.size = size"])
    functions = fill(draw, text.functions, draw.randint(0, 3200))
    python_code = _MODULE.format(
        functions=functions and functions + "\n\n\n",
        name=name,
        doc=draw.choice(text.paragraphs).replace("\\", "/").replace('"', "'").replace("\n", "\n    "),
        init=init,
        forward=_indented([*(line for _, line in layers), *(f"x = {line}" for line, _ in steps)]),
        batch=draw.randint(1, 64),
        size=draw.choice((4, 8, 16, 32, 64)),
    )
    kernel_code = _KERNEL.format(
        name=name,
        init=init,
        layers=_indented([line for _, line in layers] or ["# pointwise alone"]),
        kernel="\n".join(f"    x = {line}" for _, line in steps),
        block=draw.choice((128, 256, 512, 1024)),
    )
    return TorchModule(name, python_code, _compiled(draw), kernel_code)


def _filled(draw: random.Random, texts: tuple[str, str], i: int) -> tuple[str, str]:
    values = {"i": i, "c": round(draw.uniform(0.01, 9.99), 2), "d": draw.randrange(4)}
    return texts[0].format(**values), texts[1].format(**values)


def _indented(lines: list[str]) -> str:
    return "\n".join(f"        {line}" for line in lines)


def _compiled(draw: random.Random) -> str:
    lines = ["import triton", "import triton.language as tl"]
    for k in range(draw.randint(1, 6)):
        lines += [
            "",
            "",
            "@triton.jit",
            f"def triton_poi_fused_{k}(in_ptr0, in_ptr1, out_ptr0, xnumel, XBLOCK: tl.constexpr):",
            "    xoffset = tl.program_id(0) * XBLOCK",
            "    xindex = xoffset + tl.arange(0, XBLOCK)[:]",
            "    xmask = xindex < xnumel",
        ]
        for i in range(draw.randint(8, 40)):
            offset = f"{draw.randrange(4096)} + {draw.choice((1, 4, 16, 64))} * xindex"
            source = f"in_ptr{draw.randrange(2)} + ({offset})"
            lines.append(f"    tmp{i} = tl.load({source}, xmask, eviction_policy='evict_last')")
        lines.append(f"    tl.store(out_ptr0 + xindex, tmp0 + tmp{i}, xmask)")
    return "\n".join(lines) + "\n"
