"""The closed vocabulary of why an answer got no verdict `ok`: what the detail of a verdict begins with."""

import builtins
import re
from typing import Literal, get_args

Failure = Literal[
    "not_looked_at",  # the reward is too low to matter
    "no_answer",
    "unparsed",
    "no_entry_point",
    "reference",  # the module itself cannot be run
    "unsupported",  # what this mode cannot judge
    "exception",  # raised by the answer; `exception:<type>` where the type is one of Python's own or Triton's
    "launch",  # raised by a kernel, or by the call that starts it
    "compile",  # a kernel that does not compile for a GPU
    "structure",  # of the outputs: their number and nesting
    "shape",
    "dtype",
    "values",
    "timeout",
    "memory",
    "output",  # more of it than a child may send
    "crash",  # ended by a signal
    "exit",  # ended by itself before its work was done
]
_MOST_CHARACTERS = 300
_RAISED = frozenset(
    {
        *(name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)),
        "CompilationError",
        "InterpreterError",
        "OutOfResources",
        "OutOfMemoryError",
    }
)


def explain(failure: Failure, text: str, *, raised: str | None = None) -> str:
    """The detail of a verdict, one line of at most 300 characters: `kind: text`, or `exception:<type>: text`.

    Args:
        failure: why there is no `ok`.
        text: what a reader wants to know; white space is collapsed, the end cut off.
        raised: name of the class of the exception; an answer can name a class as it likes, so that only known names
            become part of the kind.
    """
    kind = f"{failure}:{raised if raised in _RAISED else 'other'}" if raised else failure
    line = ": ".join([kind, " ".join(text.split())]).removesuffix(": ")
    return line if len(line) <= _MOST_CHARACTERS else f"{line[: _MOST_CHARACTERS - 3]}..."


def kind(of: str) -> str:
    """The kind that a detail begins with.

    Raises:
        AssertionError: the detail begins with none.
    """
    found = re.match(r"([a-z_]+)(:[A-Za-z]+)?(?:: |$)", of)
    assert found is not None, of
    assert found[1] in get_args(Failure), of
    return found[1] + (found[2] or "")
