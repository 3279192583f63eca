"""Fit the data files of a dataset into one commit.

`build` writes files of 20,000 rows. The Hub recommends less than 100 files in a commit and less than 20 GB in a file
(huggingface.co/docs/hub/storage-limits); `datasets.push_to_hub` stops at 50 files (`UPLOADS_MAX_NUMBER_PER_COMMIT`) and
goes on with another commit, so that a reader in between sees half a version. Here the files become fewer instead.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stages.commands.publishing.dataset_folder import split_of
from stages.shared.table import ROWS_PER_GROUP, TableWriter

MAX_DATA_FILES = 40
"""Leaves ten of the 50 for the card, the manifest and the trainer configurations."""
MAX_FILE_BYTES = 20 * 10**9


def regrouped(
    files: Mapping[str, Path], folder: Path, max_files: int = MAX_DATA_FILES, max_bytes: int = MAX_FILE_BYTES
) -> dict[str, Path]:
    """The files as they are when they are few enough, else fewer files with the same rows in the same order.

    Each new file has the rows of the same number of consecutive files of a split, so that the same files always become
    the same files. They are written to `folder`, a record batch at a time.

    Returns:
        The files by their path in the dataset.

    Raises:
        ValueError: the dataset is too large for one commit.
    """
    n_files = Counter(map(split_of, files))
    together = _together(n_files, max_files)
    groups: dict[str, list[list[Path]]] = {split: [] for split in n_files}
    for path, file in files.items():
        group = groups[split_of(path)]
        if not group or len(group[-1]) == together:
            group.append([])
        group[-1].append(file)
    largest = max(sum(file.stat().st_size for file in parts) for group in groups.values() for parts in group)
    if largest > max_bytes:
        raise ValueError(
            f"too large for one commit: {max_files} files of at most {max_bytes / 1e9:g} GB are allowed, and a file "
            f"would have {largest / 1e9:.1f} GB"
        )
    if together == 1:
        return dict(files)
    made = {}
    for split, group in groups.items():
        for number, parts in enumerate(group):
            path = f"data/{split}-{number:05d}-of-{len(group):05d}.parquet"
            made[path] = _concatenated(parts, folder / path)
    return made


def _together(n_files: Mapping[str, int], max_files: int) -> int:
    """The least number of files to put into one, so that all splits together have at most `max_files`."""
    if max_files < len(n_files):
        raise ValueError(f"{len(n_files)} splits do not fit into {max_files} files")
    together = 1
    while sum(-(-n // together) for n in n_files.values()) > max_files:
        together += 1
    return together


def _concatenated(parts: list[Path], target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    writer = TableWriter(target, pq.read_schema(parts[0]).remove_metadata())
    for part in parts:
        with pq.ParquetFile(part) as parquet:
            for batch in parquet.iter_batches(batch_size=ROWS_PER_GROUP):
                writer.write_table(pa.Table.from_batches([batch]))
    writer.close()
    return target
