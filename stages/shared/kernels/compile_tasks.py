"""What runs in children with Triton's compiler: every kernel that an answer launches is compiled, and does not run."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import msgspec
import torch
import triton
from triton._C.libtriton import ir
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptx_version_from_options
from triton.compiler.compiler import ASTSource, make_backend
from triton.runtime import _allocation, driver
from triton.runtime._allocation import NullAllocator
from triton.runtime.autotuner import Autotuner
from triton.runtime.errors import OutOfResources
from triton.runtime.jit import JITFunction, create_function_from_signature

from stages.shared.kernels import answer, loading, observation
from stages.shared.kernels.assembler import assemble
from stages.shared.kernels.reference import Place
from stages.shared.kernels.reports import Compiled, Refused, Task, pack, read
from stages.shared.kernels.stand_ins import cuda_stand_in, device_remap, inductor, selftest
from stages.shared.kernels.stand_ins.driver import CompiledKernel, Driver

Send = Callable[[bytes], None]

SHARED_MEMORY = {90: 227 << 10, 80: 163 << 10}
"""Bytes of shared memory that a block of threads can have (CUDA C++ Programming Guide, technical specifications)."""

_THREADS = 1024
"""That a block can have (the same)."""

_send: list[Send] = []
_seen: set[tuple[Any, ...]] = set()
_unallocated: set[int] = set()
"""Kernels that an H100, which comes first, does not start; an A100 would, without the memory."""
_tuning: list[str] = []
"""While configurations are tried: `compile` until one fits, then `check` the rest."""
_ptx_version = 0


def warm() -> None:
    """Import what children need, and compile once for each GPU.

    Raises:
        ValueError: the installed triton does not compile the kernels of the self-test.
    """
    global _ptx_version  # noqa: PLW0603 - a child may start no process, which asking the assembler would
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    inductor.install()
    cuda_stand_in.install()
    driver.set_active(Driver())
    _ptx_version = get_ptx_version_from_options(make_backend(GPUTarget("cuda", 90, 32)).parse_options({}), 90)
    JITFunction.run = _run
    Autotuner._bench = _bench  # noqa: SLF001 - there is no public place to choose a configuration
    sent: list[bytes] = []
    _send[:] = [sent.append]
    selftest.launch_some()
    if not sent or any(isinstance(report, Refused) for report in read(sent)):
        raise ValueError(f"triton {triton.__version__} does not compile the self-test: install the pinned version")


def compile_kernels(payload: bytes, send: Send) -> None:
    """Call the answer once; tell of each different launch whether it compiles, then how the call went without it."""
    task = msgspec.msgpack.decode(payload, type=Task)
    _send[:] = [send]
    place = Place(device_remap.DeviceRemap, lambda value: value, device_remap.settle)
    with loading.helpers():
        for run in answer.runs(task, place, observation.Watch(answer.FILE, [], []), ["first"], leniently=True):
            send(pack(run))


def _run(self: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> CompiledKernel:
    """In place of a launch. What the compiler for an H100 raises is raised, as there; an A100's is only told."""
    assert warmup or grid is not None
    handle = CompiledKernel(self, kwargs)
    if warmup or not observation.current.calling:
        return handle
    raised: dict[int, Exception] = {}
    with torch._C.DisableTorchFunction(), observation.launching(self.__name__):  # noqa: SLF001 - pointers are the CPU's
        for capability in (90,) if _tuning[-1:] == ["check"] else (90, 80):
            try:
                _compile(self, capability, args, dict(kwargs))
            except Exception as error:  # noqa: BLE001 - whatever the compiler raises is its answer
                if not (_tuning and isinstance(error, OutOfResources)):
                    _send[0](pack(Refused(self.__name__, capability, _reason(error))))
                raised[capability] = error
        if 90 in raised:
            raise raised[90]
    return handle


def _compile(kernel: JITFunction, capability: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    target = GPUTarget("cuda", capability, 32)
    backend = make_backend(target)
    kwargs |= {"debug": kwargs.get("debug", kernel.debug) or False, "instrumentation_mode": ""}
    bind = create_function_from_signature(kernel.signature, kernel.params, backend)
    bound, specialization, options = bind(*args, **kwargs)
    key = (id(kernel), capability, str(specialization), str(options), *_tuning)
    if key in _seen:
        return
    options, signature, constants, attributes = kernel._pack_args(backend, kwargs, bound, specialization, options)  # noqa: SLF001 - as JITFunction.run does
    options = dataclasses.replace(options, ptx_version=_ptx_version)
    source = ASTSource(kernel, signature, constants, attributes)
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    functions = backend.get_codegen_implementation(options)
    code = source.make_ir(target, options, functions, backend.get_module_map(), context)
    _seen.add(key)
    if _tuning[-1:] == ["check"]:
        return
    stages: dict[str, Callable[..., Any]] = {}
    backend.add_stages(stages, options, source.language)
    metadata = {"target": target, **vars(options)}
    for stage in ("ttir", "ttgir", "llir", "ptx"):
        code = stages[stage](code, metadata)
    if (shared := metadata["shared"]) > SHARED_MEMORY[capability]:
        raise OutOfResources(shared, SHARED_MEMORY[capability], "shared memory")
    if metadata.get("global_scratch_size") and isinstance(_allocation._allocator.get(), NullAllocator):  # noqa: SLF001 - as the launcher
        _unallocated.add(id(kernel))
    if id(kernel) in _unallocated:
        raise RuntimeError("the kernel needs memory of its own, and triton.set_allocator was not called")
    if (threads := 32 * metadata["num_warps"]) > _THREADS:
        raise OutOfResources(threads, _THREADS, "threads")
    assemble(code.encode(), f"sm_{capability}{'a' if capability >= 90 else ''}", fuse=options.enable_fp_fusion)
    _send[0](pack(Compiled(kernel.__name__, capability)))


def _reason(error: BaseException) -> str:
    """The last line of what the compiler says; the lines before it quote the kernel."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"


def _bench(self: Autotuner, *args: Any, config: Any, **meta: Any) -> list[float]:
    """Compile the first configuration that fits, and check the source of those behind it."""
    mode = "check" if vars(self).get("_fits") is self.nargs else "compile"
    _tuning.append(mode)
    try:
        self.fn.run(*args, **meta, **config.all_kwargs())
    except OutOfResources:
        return [float("inf")] * 3
    finally:
        _tuning.pop()
    self._fits = self.nargs
    return [1.0 if mode == "compile" else 2.0] * 3


TASKS = {"compile": compile_kernels}
