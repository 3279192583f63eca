"""What is asked about an answer, and what is said of it."""

from dataclasses import dataclass
from typing import Literal

Mode = Literal["interpret", "cuda"]


@dataclass(frozen=True)
class Job:
    """A module and an answer to it."""

    python_code: str
    """The module, with `get_inputs` and `get_init_inputs`."""
    entry_point: str | None
    """Class of the module that the answer replaces."""
    module_name: str
    answer: str | None
    """The code of the answer, None where the completion holds none."""


@dataclass(frozen=True)
class Judgement:
    """The columns of `verdicts`, besides the key."""

    verdict: str
    """`ok`, `wrong` or `unknown`."""
    has_kernel: bool | None
    launches: int | None
    """Kernel launches in one call of the answer."""
    compiles: bool | None
    """Whether there is a GPU that takes every kernel launched."""
    correct: bool | None
    """Whether the results are the module's."""
    flags: list[str]
    torch_ops: list[str]
    detail: str | None
    """Why the verdict is not `ok`."""
    speedup: float | None = None
    """Only in mode `cuda`."""
