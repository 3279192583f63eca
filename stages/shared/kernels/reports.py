"""What the parent asks of a child, and what the child tells, as MessagePack frames; nothing in them is believed."""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from stages.shared.kernels.failures import Failure
from stages.shared.kernels.tensors import LONGEST, Text, Value

Case = Literal["first", "again", "second", "alternate", "ghost", "evaluation", "poison"]
"""`first` and `again` call one instance with two inputs in the same memory, `second` another instance with other
parameters and inputs, `alternate` doubles the batch; in `ghost` kernels do nothing, `evaluation` is a ghost in the
other mode of nn.Module, in `poison` uninitialised memory is NaN."""
CASES: tuple[Case, ...] = ("first", "again", "second", "poison", "ghost", "evaluation", "alternate")
"""In the order in which they are run."""
COMPARED: tuple[Case, ...] = ("first", "again", "second")
"""The cases that decide whether an answer is right."""
MOST_OPERATIONS = 100
Names = Annotated[list[Text], Meta(max_length=LONGEST)]
Places = Annotated[list[int], Meta(max_length=LONGEST)]


class Subject(msgspec.Struct, frozen=True):
    """The module that is replaced."""

    python_code: str
    entry_point: str | None
    module_name: str


class Setting(msgspec.Struct, tag="setting", frozen=True):
    """How the module, and then an answer to it, must be run."""

    evaluation: Annotated[list[bool], Meta(max_length=2)]
    """The modes in which an answer may be like the module: False is the one that its constructor leaves it in, True is
    evaluation. More than one where they differ."""
    random: bool
    """The result depends on random numbers, in every mode."""
    grad: bool
    """`forward` needs autograd."""
    by_inputs: bool
    """The module returns no tensor but changes its inputs: they are the result."""
    stateless: bool
    """The module has neither parameters nor buffers, so that another instance shows nothing new."""
    varies: bool
    """The inputs of `again` are not those of `first`."""


class Expected(msgspec.Struct, tag="expected", frozen=True):
    """What the module returned."""

    case: Case
    evaluation: bool
    output: Value
    noise: Annotated[list[float | None], Meta(max_length=LONGEST)]
    """For each leaf how far it is from the same computed in float64, at most; None where that is not known."""
    changed: Places
    """The inputs that it writes to."""


class Unusable(msgspec.Struct, tag="unusable", frozen=True):
    """The module cannot be run."""

    text: Text


class Task(msgspec.Struct, frozen=True):
    """An answer to be run."""

    subject: Subject
    setting: Setting
    answer: str
    names: list[str]
    """What its entry point may be called."""


class Run(msgspec.Struct, tag="run", frozen=True):
    """One call of an answer, or the loading of it that failed."""

    case: Case
    output: Value | None
    """None where the call raised."""
    failure: Failure | None = None
    raised: Text | None = None
    """Name of the class of the exception."""
    text: Text = ""
    gap: bool = False
    """It was raised in the code of the interpreter."""
    kernels: Names = []
    """Launched, in order, as far as LONGEST."""
    torch_ops: Annotated[list[Text], Meta(max_length=MOST_OPERATIONS)] = []
    swallowed: int = 0
    """Exceptions of launches and torch's functions that the answer caught."""
    garbage_reads: int = 0
    """Times that it saw uninitialised memory."""
    changed: Places = []
    tampered: Names = []
    """What the answer replaced, and where it looked for its judge."""


class Compiled(msgspec.Struct, tag="compiled", frozen=True):
    """A kernel that was compiled to machine code for a GPU."""

    kernel: Text
    capability: int
    """80 for an A100, 90 for an H100."""


class Refused(msgspec.Struct, tag="refused", frozen=True):
    """A kernel that the compiler, the launcher or the GPU does not take."""

    kernel: Text
    capability: int
    text: Text


Report = Setting | Expected | Unusable | Run | Compiled | Refused
Told = TypeVar("Told")

pack = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Report)


def read(frames: list[bytes]) -> list[Report]:
    """The reports in frames."""
    return decoded(frames, _decoder)


def decoded(frames: list[bytes], decoder: msgspec.msgpack.Decoder[Told]) -> list[Told]:
    """What is in frames, as far as it is what `decoder` reads: one who forges frames gains nothing by the rest."""
    found = []
    for frame in frames:
        try:
            found.append(decoder.decode(frame))
        except (msgspec.DecodeError, RecursionError):
            return found
    return found
