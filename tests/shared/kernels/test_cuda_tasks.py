"""The parts of mode `cuda` that need no GPU; the whole runs in test_cuda_mode.py."""

import subprocess

import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import CUDABackend
from triton.compiler import ASTSource
from triton.runtime.errors import PTXASError
from triton.runtime.jit import JITFunction

from stages.shared.kernels import cuda_tasks, observation
from stages.shared.kernels.answer import failure_of
from stages.shared.kernels.sandbox.fork_server import ForkServer
from tests.shared.kernels import example_kernel
from tests.shared.kernels.test_assembler import PTX


def test_a_machine_without_a_gpu_is_told_so_in_one_line() -> None:
    with (
        ForkServer(cuda_tasks.__name__) as server,
        pytest.raises(ValueError, match=r"^mode cuda: triton cannot use the GPU of this machine: ") as raised,
    ):
        server.ready()

    assert "\n" not in str(raised.value)


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a job: no process can be started."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    kernel = ASTSource(example_kernel.double, {"numbers": "*fp32", "BLOCK": "constexpr"}, {"BLOCK": 64})
    triton.compile(kernel, target=GPUTarget("cuda", 90, 32))  # asks for versions, as warm() does
    for name in ("run", "check_output", "check_call", "Popen"):
        monkeypatch.setattr(subprocess, name, refused)


@pytest.mark.parametrize("block", [128, 256])
def test_triton_compiles_for_a_gpu_without_starting_a_process(
    no_processes: None, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(CUDABackend, "make_cubin", cuda_tasks.cubin)
    monkeypatch.setenv("TRITON_ALWAYS_COMPILE", "1")
    kernel = ASTSource(example_kernel.double, {"numbers": "*fp32", "BLOCK": "constexpr"}, {"BLOCK": block})

    compiled = triton.compile(kernel, target=GPUTarget("cuda", 90, 32))

    assert compiled.asm["cubin"][:4] == b"\x7fELF"
    assert b".text.double" in compiled.asm["cubin"]


def test_what_the_assembler_refuses_is_an_error_of_triton() -> None:
    class Options:
        enable_fp_fusion = True

    with pytest.raises(PTXASError, match="gain"):
        cuda_tasks.cubin(CUDABackend, PTX.decode().replace("add.f32", "gain.f32"), {}, Options(), 80)


def test_a_ghost_is_counted_and_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no GPU here: a launch that was not held back would raise."""
    monkeypatch.setattr(JITFunction, "run", cuda_tasks.launch)
    with observation.observing(ghost=True) as seen:
        example_kernel.double[1,](torch.zeros(4), BLOCK=4)

    assert (seen.kernels, seen.raised) == (["double"], 0)


def test_what_a_launch_raises_is_counted_instead_of_the_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JITFunction, "run", cuda_tasks.launch)
    with observation.observing() as seen, pytest.raises(RuntimeError) as raised:
        example_kernel.double[1,](torch.zeros(4), BLOCK=4)

    assert (seen.kernels, seen.raised) == ([], 1)
    assert failure_of(raised.value) == "launch"


def test_uninitialised_memory_has_the_content_of_the_call() -> None:
    with cuda_tasks.FilledMemory(), observation.observing() as ordinary:
        made = [torch.empty(2), torch.empty_like(torch.ones(2)), torch.ones(2).new_empty(2)]
        whole = torch.empty(2, dtype=torch.int32)
        torch.zeros(2)
    with cuda_tasks.FilledMemory(), observation.observing(garbage=float("nan")) as poison:
        poisoned = torch.empty(2)

    assert all(torch.equal(tensor, torch.full((2,), observation.GARBAGE)) for tensor in made)
    assert torch.equal(whole, torch.full((2,), torch.iinfo(torch.int32).max // 3, dtype=torch.int32))
    assert (ordinary.garbage_reads, poison.garbage_reads) == (4, 1)
    assert poisoned.isnan().all()


def test_float32_is_float32_where_results_are_compared_and_not_where_they_are_timed() -> None:
    assert torch.backends.cudnn.allow_tf32
    try:
        with cuda_tasks.GPU.context():
            assert not torch.backends.cudnn.allow_tf32
            assert not torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = True
        with cuda_tasks.TIMED.context():
            assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = True


def test_all_tensors_of_nested_values_are_moved() -> None:
    layer = torch.nn.Linear(2, 2)
    moved = cuda_tasks.moved([torch.ones(1), (torch.ones(1), {"a": torch.ones(1)}), layer, 3, "cuda"], "meta")

    assert [moved[0].device.type, moved[1][0].device.type, moved[1][1]["a"].device.type] == ["meta"] * 3
    assert moved[2].weight.device.type == "meta"
    assert moved[3:] == [3, "cuda"]
