"""What the parent asks of a child that times calls, and what it tells, as MessagePack frames; nothing is believed."""

import msgspec

from stages.shared.kernels.reports import Setting, Subject, decoded
from stages.shared.kernels.tensors import Value
from stages.shared.kernels.timing import Lap


class TimingTask(msgspec.Struct, frozen=True):
    """A module to be timed, and an answer beside it."""

    subject: Subject
    setting: Setting
    evaluation: bool
    """The mode of nn.Module in which the answer is like the module."""
    answer: str | None
    """None: the module alone."""
    names: list[str]
    """What the entry point of the answer may be called."""
    seeds: list[int]
    """Of the inputs, one for each lap."""
    shown: list[int]
    """The laps whose output is told."""
    budget_s: float


class Shown(msgspec.Struct, tag="shown", frozen=True):
    """What a timed call of the answer, or of the module alone, returned."""

    lap: int
    output: Value


class Laps(msgspec.Struct, tag="laps", frozen=True):
    """Times by the child's clock."""

    reference: list[Lap]
    answer: list[Lap]


class RowBegins(msgspec.Struct, tag="row_begins", frozen=True):
    """From here on the answer is called without a pause."""

    times: int


class RowEnds(msgspec.Struct, tag="row_ends", frozen=True):
    """All of it is done."""


TimingReport = Shown | Laps | RowBegins | RowEnds

_decoder = msgspec.msgpack.Decoder(TimingReport)


def read_timing(frames: list[bytes]) -> list[TimingReport]:
    """The reports in frames, as far as they are reports."""
    return decoded(frames, _decoder)
