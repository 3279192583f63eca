"""What answers do around their kernels because they expect a GPU."""

import pytest

from stages.shared.kernels.judge import Judge
from tests.shared.kernels.written_answers import IMPORTS, KERNEL, judged, right

HOST = "ValueError: Pointer argument (at 1) cannot be accessed from Triton (cpu tensor?)"
FUNCTION = "def triton_kernel_wrapper(x):\n"
IDIOMS = {
    "device='cuda'": "out = torch.empty(x.shape, device='cuda', dtype=x.dtype)",
    "torch.device": "out = torch.empty(x.shape, device=torch.device('cuda:0'))",
    "x.device": "out = torch.zeros(x.shape, device=x.device)",
    "is_cuda": "assert x.is_cuda and x.is_contiguous()\n    out = torch.empty_like(x)",
    "device.type": "assert x.device.type == 'cuda' and x.device == torch.device('cuda', 0)\n"
    "    out = torch.empty_like(x)",
    ".to": "x = x.to('cuda')\n    out = torch.zeros_like(x).to(x.device, non_blocking=True)",
    ".cuda()": "x = x.cuda().contiguous()\n    out = torch.zeros(x.shape).cuda()",
    "new_empty": "out = x.new_empty(x.shape)",
    "set_default_device": "torch.set_default_device('cuda')\n    out = torch.empty(x.shape)",
    "with torch.device": "with torch.device('cuda'):\n        out = torch.empty(x.shape)",
    "with torch.cuda.device": "with torch.cuda.device(x.device):\n        out = torch.empty_like(x)",
    "properties": "assert torch.cuda.get_device_properties(0).multi_processor_count > 100\n"
    "    out = torch.empty_like(x)",
    "capability": "assert torch.cuda.get_device_capability() >= (8, 0)\n    out = torch.empty_like(x)",
    "streams": "torch.cuda.current_stream().synchronize()\n"
    "    with torch.cuda.stream(torch.cuda.Stream()):\n        out = torch.empty_like(x)",
    "events": "start = torch.cuda.Event(enable_timing=True)\n    start.record()\n    torch.cuda.synchronize()\n"
    "    assert start.elapsed_time(start) >= 0\n    out = torch.empty_like(x)",
    "triton's driver": "device = triton.runtime.driver.active.get_current_device()\n"
    "    assert triton.runtime.driver.active.utils.get_device_properties(device)['multiprocessor_count'] > 100\n"
    "    out = torch.empty_like(x)",
    "fallback without a GPU": "if not (x.is_cuda and torch.cuda.is_available()):\n"
    "        return x * x + torch.sin(x)\n    out = torch.empty_like(x)",
    "torch.cuda.FloatTensor": "out = torch.cuda.FloatTensor(x.numel()).view(x.shape)",
    "the number of a GPU": "x = x.to(0)\n    out = torch.empty(x.shape, device=torch.cuda.current_device())",
    "as another tensor": "out = torch.zeros(x.shape).to(x)\n    out = torch.zeros(x.shape).type_as(out)",
    "the name of a type": "out = torch.zeros(x.shape, device='cuda').type('torch.cuda.FloatTensor')",
    "a generator": "torch.rand(3, device='cuda', generator=torch.Generator('cuda'))\n    out = torch.empty_like(x)",
    "amp": "with torch.amp.autocast('cuda', enabled=False):\n        out = torch.empty_like(x)",
    "a layer": "layer = nn.Linear(4, 4).cuda()\n    assert layer.weight.is_cuda\n    out = torch.empty_like(x)",
    "a warning": "import warnings\n    warnings.warn('slow')\n    print('x' * 1000)\n    out = torch.empty_like(x)",
}
LAUNCH = """
    wave[(triton.cdiv(x.numel(), 64), 1, 1, 1)](x, out, x.numel(), BLOCK=64, num_warps=2, num_stages=1)
    return out
"""


@pytest.mark.parametrize("idiom", IDIOMS)
def test_code_that_expects_a_gpu_finds_one(idiom: str, judging: Judge) -> None:
    assert judged(judging, f"{KERNEL}{FUNCTION}    {IDIOMS[idiom]}{LAUNCH}") == right()


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("out = torch.empty(x.shape)", HOST),
        ("out = x.cpu()", HOST),
        ("out = (torch.ones(x.shape) * 2)", HOST),
        (
            "import numpy\n    out, x.numel = torch.empty_like(x), lambda: numpy.int64(256)",
            "TypeError: failed to specialize argument of type: numpy.int64",
        ),
    ],
)
def test_what_a_launcher_refuses_is_refused(line: str, detail: str, judging: Judge) -> None:
    found = judged(judging, f"{KERNEL}{FUNCTION}    {line}{LAUNCH}")

    assert found.detail == f"launch: {detail}"
    assert (found.verdict, found.launches, found.correct) == ("wrong", 0, False)


@pytest.mark.parametrize(
    ("launch", "detail"),
    [
        (
            "wave[(4,)](x, out, x.numel(), BLOCK=64, XBLOCK=1)",
            "launch: KeyError: 'Keyword argument XBLOCK was specified but unrecognised'",
        ),
        (
            "wave[(4.0,)](x, out, x.numel(), BLOCK=64)",
            "launch: TypeError: 'float' object cannot be interpreted as an integer",
        ),
        (
            "wave[(1, 70000)](x, out, x.numel(), BLOCK=64)",
            "launch: RuntimeError: Triton Error [CUDA]: invalid argument",
        ),
        (
            "wave[(tl.cdiv(256, 64),)](x, out, x.numel(), BLOCK=64)",
            "launch: RuntimeError: Cannot call @triton.jit'd outside of the scope of a kernel",
        ),
        ("wave[(4,)](x, out, BLOCK=64)", "launch: TypeError: missing a required argument: 'n'"),
        ("wave[(6,)](x, out, x.numel(), BLOCK=48)", "launch: ValueError: arange's range must be a power of 2"),
    ],
)
def test_a_launch_that_cannot_be(launch: str, detail: str, judging: Judge) -> None:
    found = judged(judging, f"{KERNEL}{FUNCTION}    out = torch.empty_like(x)\n    {launch}\n    return out\n")

    assert found.detail == detail
    assert (found.verdict, found.launches, found.correct) == ("wrong", 0, False)


def test_what_the_code_does_besides_is_let_be(judging: Judge) -> None:
    code = f"""{KERNEL}
import sys
_module = sys.modules[__name__]
torch.backends.cuda.matmul.allow_tf32 = False


@torch.compile
def halved(x):
    return x / 2


class WaveNew(nn.Module):
    def forward(self, x):
        return launched(halved(x) * 2)


x = torch.rand(4, 4, 4, 4, device="cuda")
torch.testing.assert_close(WaveNew()(x), x * x + torch.sin(x))
print("the test at the end of the answer has passed")

if __name__ == "__main__":
    sys.exit(1)
"""

    assert judged(judging, code) == right()


def test_code_in_the_style_of_inductor(judging: Judge) -> None:
    code = (
        IMPORTS
        + """
from torch._C import _cuda_getCurrentRawStream as get_raw_stream
from torch._inductor.runtime import triton_helpers
from torch._inductor.runtime.triton_helpers import libdevice, math as tl_math
from torch._inductor.runtime.triton_heuristics import grid
from torch._inductor.select_algorithm import extern_kernels

assert_size_stride = torch._C._dynamo.guards.assert_size_stride
empty_strided_cuda = torch._C._dynamo.guards._empty_strided_cuda
reinterpret_tensor = torch._C._dynamo.guards._reinterpret_tensor


@triton.jit
def triton_poi_fused_0(in_ptr0, out_ptr0, xnumel, XBLOCK: tl.constexpr):
    xnumel = 256
    xindex = tl.program_id(0) * XBLOCK + tl.arange(0, XBLOCK)[:]
    xmask = xindex < xnumel
    tmp0 = tl.load(in_ptr0 + xindex, xmask)
    tmp1 = triton_helpers.maximum(tmp0 * tmp0, tmp0 * tmp0)
    tl.store(out_ptr0 + xindex, tmp1 + tl_math.sin(tmp0), xmask)


def call(args):
    arg0_1, = args
    args.clear()
    assert_size_stride(arg0_1, (4, 4, 4, 4), (64, 16, 4, 1))
    with torch.cuda._DeviceGuard(0):
        torch.cuda.set_device(0)
        buf0 = empty_strided_cuda((16, 16), (16, 1), torch.float32)
        extern_kernels.mm(reinterpret_tensor(arg0_1, (16, 16), (16, 1), 0), torch.eye(16, device="cuda"), out=buf0)
        get_raw_stream(0)
        buf1 = empty_strided_cuda((4, 4, 4, 4), (64, 16, 4, 1), torch.float32)
        triton_poi_fused_0[grid(256)](buf0, buf1, 256, XBLOCK=128, num_warps=4, num_stages=1)
    return buf1,


class WaveNew(nn.Module):
    def forward(self, input_0):
        return call([input_0])[0]
"""
    )

    assert judged(judging, code) == right(flags=["torch_fallback", "shape_specialised"], torch_ops=["mm"])


def test_cpp_extensions_are_unknown(judging: Judge) -> None:
    code = f"{KERNEL}from torch.utils.cpp_extension import load_inline\nlaunched2 = load_inline('a', 'int a;')\n"

    found = judged(judging, f"{code}{FUNCTION}    return launched2(x)\n")

    assert (found.verdict, found.correct) == ("unknown", None)
