"""The closed vocabulary of what `verify` can flag."""

from typing import Literal

Flag = Literal[
    "unparsed",
    "no_entry_point",
    "no_kernel",
    "no_launch",
    "decoy_launch",
    "torch_fallback",
    "exception_fallback",
    "in_place_input",
    "cached_output",
    "uninitialised_memory",
    "zero_reference",
    "constant_reference",
    "training_only_kernel",
    "shape_specialised",
    "shape_rank",
    "patched_checker",
    "forged_exit",
    "crash",
    "timeout",
]
