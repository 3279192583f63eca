"""A run that is told to stop: by a signal, or because the process that started it is gone."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What tells a run to stop."""


class StoppedError(ValueError):
    """The run was interrupted; everything that came until then is kept."""


def stopped_by(number: int) -> StoppedError:
    """Of a signal, by its number."""
    return StoppedError(f"stopped by {signal.Signals(number).name}; run again to go on")


def abandoned() -> StoppedError:
    """Of a run that nobody waits for any more."""
    return StoppedError("stopped: the process that started this run is gone")


@contextmanager
def handling(handle: Callable[[int], None]) -> Iterator[None]:
    """In the body, call `handle` with the number of a signal of SIGNALS, which otherwise would end the process."""

    def called(number: int, _: FrameType | None) -> None:
        handle(number)

    before = {number: signal.signal(number, called) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
