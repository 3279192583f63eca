"""How far a long run has come, told on standard error: a bar on a terminal, a line now and then in a log."""

import logging
import sys
import time

from tqdm import tqdm

_LINE_EVERY_S = 10.0


class Progress:
    """Of a run over `total` items."""

    def __init__(self, log: logging.Logger, total: int, unit: str) -> None:
        self._log = log
        self._total = total
        self._bar = tqdm(total=total, unit=unit, disable=not sys.stderr.isatty())
        self._started = self._told = time.monotonic()

    def tell(self, done: int, more: str = "") -> None:
        """Say how many items are done; a log is told only every ten seconds, whoever calls more often."""
        if not self._bar.disable:
            self._bar.n = done
            self._bar.set_postfix_str(more)
            return
        now = time.monotonic()
        if now - self._told >= _LINE_EVERY_S:
            self._told = now
            rate = done / (now - self._started)
            eta = f"{(self._total - done) / rate:.0f} s" if rate else "unknown"
            counted = f"{done} of {self._total}, {rate:.1f}/s, ETA {eta}"
            self._log.info("%s", ", ".join([counted, more] if more else [counted]))

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()
