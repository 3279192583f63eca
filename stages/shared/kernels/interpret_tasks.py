"""What runs in children under Triton's interpreter: a module, and answers to it. They tell, and decide nothing."""

import builtins
import os
import time
import warnings
from collections.abc import Callable
from types import ModuleType

import msgspec
import numpy as np
import torch
import triton
from triton.runtime import interpreter as triton_interpreter
from triton.runtime.autotuner import Autotuner

from stages.shared.kernels import answer, loading, observation, reference, reports
from stages.shared.kernels.reference import Place
from stages.shared.kernels.reports import Subject, Task, Unusable, pack
from stages.shared.kernels.stand_ins import cuda_stand_in, device_remap, inductor, interpreter, selftest

Send = Callable[[bytes], None]

CPU = Place(device_remap.DeviceRemap, lambda value: value, device_remap.settle)
_WATCHED: list[ModuleType] = [torch, torch.testing, torch.cuda, np, np.testing, time, builtins, triton, triton.testing]
_WATCHED += [answer, device_remap, interpreter, observation, reference, reports, triton_interpreter, triton.runtime.jit]
_CLASSES = [torch.Tensor, torch.nn.Module, triton_interpreter.InterpretedFunction, Autotuner, observation.Watch]


def warm() -> None:
    """Import and run what children need, and refuse versions that compute something else.

    Raises:
        ValueError: what the installed triton, torch and numpy get wrong.
    """
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    inductor.install()
    cuda_stand_in.install()
    interpreter.install()
    selftest.run()
    # The same, without a variable by which an answer could see that its kernels do not run on a GPU.
    triton.knobs.runtime.interpret = True
    os.environ.pop("TRITON_INTERPRET", None)


def run_reference(payload: bytes, send: Send, place: Place = CPU) -> None:
    """Tell how the module must be run, then what it returns in every case."""
    subject = msgspec.msgpack.decode(payload, type=Subject)
    try:
        with loading.helpers(), place.context():
            found = loading.load_reference(subject.python_code, subject.entry_point, subject.module_name)
            setting = reference.setting_of(found, place)
            send(pack(setting))
            for result in reference.expected(found, setting, place):
                send(pack(result))
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - the module is code that nobody knows
        send(pack(Unusable(f"{type(error).__name__}: {error}")))


def run_answer(payload: bytes, send: Send, place: Place = CPU) -> None:
    """Tell what the answer does in every case."""
    task = msgspec.msgpack.decode(payload, type=Task)
    watch = observation.Watch(answer.FILE, _WATCHED, _CLASSES)
    with loading.helpers():
        for run in answer.runs(task, place, watch):
            send(pack(run))


TASKS = {"reference": run_reference, "answer": run_answer}
