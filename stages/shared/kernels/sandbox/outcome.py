"""How a job of a fork server ended."""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from stages.shared.kernels.sandbox.frames import FrameReader
from stages.shared.kernels.sandbox.limits import Limits

Ending = Literal["done", "exited", "crashed", "timeout", "memory", "output"]


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    All of it was said by, or happened to, a process that ran untrusted code. `done` tells that the task's function
    returned if the code was honest; code that was not can send the same bytes. So nothing may follow from `done` but
    that the frames are worth reading, and nothing from a frame but what the parent checks itself.
    """

    frames: list[bytes]
    """Those that came whole, in order, also when the process died later."""
    ending: Ending
    """`done`: the task returned. `exited`: the process ended before. `crashed`: a signal, or the task raised.

    `timeout`: of wall clock or processor time. `memory`: MemoryError, too many threads, killed by the kernel.
    `output`: more frames than `output_mb`, or bytes that are no frame, or too much in the scratch folder.
    """
    detail: str
    times: list[float] = field(default_factory=list, compare=False)
    """When each frame had come whole, by `time.monotonic` of this process."""


def ending_of(ended: Mapping[str, Any], reader: FrameReader, limits: Limits) -> tuple[Ending, str]:
    """How a job ended, and details.

    Args:
        ended: what the fork server tells: `status` of wait(2), `cpu_s`, and `limit`, the ending and the detail of a job
            that it killed.
        reader: has read all that the job sent.
        limits: of the job.

    Raises:
        RuntimeError: it ended before its task began, which is no doing of the task.
    """
    code = os.waitstatus_to_exitcode(ended["status"])
    kind, content = reader.last or (None, b"")
    text = content.decode(errors="replace")
    if reader.fault is not None:
        return "output", reader.fault
    if ended["limit"]:
        ending: tuple[Ending, str] = tuple(ended["limit"])
        return ending
    # Who handles SIGXCPU is killed a second later. The kernel counts by ticks, up to 15 % more than what it tells.
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and ended["cpu_s"] > 0.8 * limits.cpu_s):
        return "timeout", "processor time"
    if code == -signal.SIGKILL:
        return "memory", "killed by the kernel"
    if kind == "memory":
        return "memory", text
    if not reader.started:
        raise RuntimeError(f"the job did not get to its task: {text or f'exit code {code}'}")
    if code < 0:
        return "crashed", f"signal {-code}"
    if kind == "raised":
        return "crashed", text
    if kind == "done" and code == 0:
        return "done", ""
    return "exited", f"exit code {code} before the task returned"
