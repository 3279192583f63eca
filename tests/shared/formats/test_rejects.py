import logging
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stages.shared.formats.rejects import Rejects
from stages.shared.formats.rows_file import SourceRow
from stages.shared.records import REJECTS


def test_a_rejected_row_keeps_file_line_reason_and_text(tmp_path: Path) -> None:
    rejects = Rejects("ingest")
    rejects.add(SourceRow("a.jsonl", 3, None, raw="{oops"), "not valid JSON")
    rejects.add(SourceRow("a.jsonl", 4, {"reward": "high"}), "reward: expected a number")
    rejects.write(tmp_path / "rejects.parquet")

    table = pq.read_table(tmp_path / "rejects.parquet")
    assert table.schema == REJECTS
    assert table.to_pylist() == [
        {"file": "a.jsonl", "line": 3, "reason": "not valid JSON", "raw": "{oops"},
        {"file": "a.jsonl", "line": 4, "reason": "reward: expected a number", "raw": "{'reward': 'high'}"},
    ]


def test_no_rejects_are_an_empty_table(tmp_path: Path) -> None:
    Rejects("ingest").write(tmp_path / "rejects.parquet")

    assert pq.read_table(tmp_path / "rejects.parquet") == REJECTS.empty_table()


def test_what_no_utf8_file_can_hold_is_replaced(tmp_path: Path) -> None:
    rejects = Rejects("ingest")
    rejects.add(SourceRow("a.jsonl", 1, {"a": "b"}), "bad \ud800 text")
    rejects.write(tmp_path / "rejects.parquet")

    assert pq.read_table(tmp_path / "rejects.parquet")["reason"].to_pylist() == ["bad ? text"]


def test_a_long_row_is_cut() -> None:
    rejects = Rejects("ingest")
    rejects.add(SourceRow("a.jsonl", 1, {"a": "x" * 1000}), "too long")

    assert rejects.rows[0]["raw"] == "{'a': '" + "x" * 193


def test_the_first_five_are_shown(caplog: pytest.LogCaptureFixture) -> None:
    rejects = Rejects("ingest_modules")
    with caplog.at_level(logging.WARNING):
        for line in range(1, 8):
            rejects.add(SourceRow("a.jsonl", line, None), "empty")

    assert caplog.messages == [f"a.jsonl:{line}: empty" for line in range(1, 6)]
    assert len(rejects.rows) == 7


def test_the_share_may_be_reached_and_not_passed() -> None:
    rejects = Rejects("ingest")
    rejects.check(0, 0.0)
    rejects.add(SourceRow("a.jsonl", 7, None), "empty")
    rejects.check(10, 0.1)

    expected = r"^1 of 10 rows rejected, ingest.max_reject_fraction is 0.09: a.jsonl:7: empty$"
    with pytest.raises(ValueError, match=expected):
        rejects.check(10, 0.09)
