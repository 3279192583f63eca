"""A dataset folder as the Hub lays it out: Parquet files for each split, which `load_dataset` reads offline."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.shared.table import TableWriter

ROWS_PER_FILE = 20_000


class SplitWriter:
    """Writes one split in files of at most 20,000 rows, in the order in which the rows come."""

    def __init__(self, folder: Path, split: str, n_rows: int, schema: pa.Schema) -> None:
        """`n_rows` is the number of rows that will come: the Hub's file names count the files."""
        self.split = split
        self.n_rows = n_rows
        self.schema = schema
        n_files = -(-n_rows // ROWS_PER_FILE)
        self._files = [folder / "data" / f"{split}-{i:05d}-of-{n_files:05d}.parquet" for i in range(n_files)]
        self._written = 0
        self._writer: TableWriter | None = None

    def write(self, row: dict[str, Any]) -> None:
        """Add a row."""
        if self._written % ROWS_PER_FILE == 0:
            self._close_file()
            file = self._files[self._written // ROWS_PER_FILE]
            file.parent.mkdir(parents=True, exist_ok=True)
            self._writer = TableWriter(file, self.schema)
        assert self._writer is not None
        self._writer.write(row)
        self._written += 1

    def close(self) -> dict[str, Any]:
        """Finish the last file.

        Returns:
            The split as a dataset card lists it: `name`, `num_bytes` (uncompressed), `num_examples`.
        """
        self._close_file()
        assert self._written == self.n_rows, f"{self.split}: {self.n_rows} rows expected, {self._written} written"
        metas = [pq.read_metadata(file) for file in self._files]
        num_bytes = sum(meta.row_group(i).total_byte_size for meta in metas for i in range(meta.num_row_groups))
        return {"name": self.split, "num_bytes": num_bytes, "num_examples": self._written}

    def _close_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
