"""What a judgement is worth as a reward."""

from typing import Literal

from stages.shared.kernels.verdict import Judgement

Formula = Literal["coverage", "speedup"]

_MOST = 1.1
"""What a speedup can add; the reference's rewards end at 2.1."""
_LOST_PER_OPERATION, _LOST_PER_FLAG = 5, 10
_COSTLY = ("in_place_input", "shape_specialised", "exception_fallback")


def reward(judgement: Judgement, formula: Formula) -> float | None:
    """The reward of an answer; None where the verdict is `unknown`, and where a right answer could not be timed.

    `coverage` is 0 for a wrong answer, else max(0, 100 - 5 per heavy operation left to torch - 10 for each of
    in_place_input, shape_specialised and exception_fallback) / 100: integers divided once, so that 0.85 is 0.85.
    `speedup` is 0 for a wrong answer, else 1 + min(max(speedup - 1, 0), 1.1).
    """
    if judgement.verdict == "unknown":
        return None
    if judgement.verdict == "wrong":
        return 0.0
    if formula == "coverage":
        lost = _LOST_PER_OPERATION * len(judgement.torch_ops)
        lost += _LOST_PER_FLAG * sum(flag in judgement.flags for flag in _COSTLY)
        return max(0, 100 - lost) / 100
    return None if judgement.speedup is None else 1 + min(max(judgement.speedup - 1, 0.0), _MOST)
