"""Rows that could not be read: kept in a table with file, line and reason, and counted against a limit."""

import logging
from pathlib import Path
from typing import Any

from stages.shared import table
from stages.shared.formats.rows_file import SourceRow
from stages.shared.records import REJECTS

_SHOWN = 5
_RAW_CHARACTERS = 200


class Rejects:
    """Collects rejected rows of one stage."""

    def __init__(self, stage: str) -> None:
        self.rows: list[dict[str, Any]] = []
        self._log = logging.getLogger(stage)
        self._stage = stage

    def add(self, row: SourceRow, reason: str) -> None:
        """Note why a row is rejected; the first five are shown as they come."""
        # A lone surrogate, which JSON can spell and UTF-8 cannot, must not reach the table of rejects either.
        clean = reason.encode(errors="replace").decode()
        raw = row.raw or repr(row.value)[:_RAW_CHARACTERS].encode(errors="replace").decode()
        self.rows.append({"file": row.file, "line": row.line, "reason": clean, "raw": raw})
        if len(self.rows) <= _SHOWN:
            self._log.warning("%s:%d: %s", row.file, row.line, clean)

    def check(self, rows_in: int, max_fraction: float) -> None:
        """Fail when too many rows are rejected.

        Raises:
            ValueError: the share, the limit and the first row.
        """
        if len(self.rows) > max_fraction * rows_in:
            first = self.rows[0]
            raise ValueError(
                f"{len(self.rows)} of {rows_in} rows rejected, {self._stage}.max_reject_fraction is {max_fraction}: "
                f"{first['file']}:{first['line']}: {first['reason']}"
            )

    def write(self, path: Path) -> None:
        """Write the table of rejects."""
        with table.writing(path, REJECTS) as writer:
            for row in self.rows:
                writer.write(row)
