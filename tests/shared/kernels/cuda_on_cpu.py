"""The tasks of mode `cuda` on the processor, under the interpreter: all that needs no GPU is the product's own."""

import os

os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import msgspec

from stages.shared.kernels import cuda_tasks, interpret_tasks, loading
from stages.shared.kernels.reference import Place
from stages.shared.kernels.stand_ins import device_remap
from stages.shared.kernels.timed_calls import time_calls
from stages.shared.kernels.timing import Host
from stages.shared.kernels.timing_reports import TimingTask


@contextmanager
def checked() -> Iterator[None]:
    with device_remap.DeviceRemap(), cuda_tasks.checked():
        yield


CHECKED = Place(checked, lambda value: cuda_tasks.moved(value, "cpu"), device_remap.settle)


def time_on_cpu(payload: bytes, send: Callable[[bytes], None]) -> None:
    device = Host()
    with loading.helpers():
        time_calls(msgspec.msgpack.decode(payload, type=TimingTask), interpret_tasks.CPU, device, send)


warm = interpret_tasks.warm
TASKS = {
    "reference": partial(interpret_tasks.run_reference, place=CHECKED),
    "answer": partial(interpret_tasks.run_answer, place=CHECKED),
    "time": time_on_cpu,
}
