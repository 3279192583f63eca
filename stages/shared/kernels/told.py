"""What children told of a module and of an answer to it, and how alike their results are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stages.shared.kernels.compare import Difference, Likeness, compare
from stages.shared.kernels.reports import CASES, Case, Expected, Report, Run, Setting
from stages.shared.kernels.sandbox.outcome import Ending

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


@dataclass(frozen=True)
class Module:
    """How the module behaved."""

    setting: Setting
    expected: dict[tuple[Case, bool], Expected]
    """By case and mode: True is evaluation."""


@dataclass(frozen=True)
class Told:
    """What came from a child, and how it ended."""

    reports: Sequence[Report]
    ending: Ending
    detail: str = ""
    whole: bool = True
    """Nothing came that is no report."""

    @property
    def runs(self) -> dict[Case, Run]:
        """By case; of several the first."""
        found: dict[Case, Run] = {}
        for report in self.reports:
            if isinstance(report, Run):
                found.setdefault(report.case, report)
        return found

    @property
    def launches(self) -> bool:
        """Whether a run launched a kernel, or tried to."""
        runs = (report for report in self.reports if isinstance(report, Run))
        return any(run.kernels or run.failure == "launch" for run in runs)

    @property
    def is_forged(self) -> bool:
        """Whether something else came than the runs of the cases, each once and in order."""
        cases = [report.case for report in self.reports if isinstance(report, Run)]
        return not self.whole or cases != [case for case in CASES if case in cases] or len(cases) != len(self.reports)


def likeness(module: Module, run: Run, evaluation: bool) -> Likeness:
    """How a run's result compares to the module's in one mode of nn.Module (True is evaluation)."""
    expected = module.expected.get((run.case, evaluation))
    if expected is None or run.output is None:
        return Likeness(Difference("structure", "there is nothing to compare"))
    try:
        return compare(expected.output, run.output, expected.noise)
    except ValueError as error:
        return Likeness(Difference("structure", str(error)))


def clean(text: str) -> str:
    """Text of an exception as it is in every run: without addresses."""
    return _ADDRESS.sub("0x0", text)
