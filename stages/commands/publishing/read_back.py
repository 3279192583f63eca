"""Read a published version as anybody would, and compare it with what was published."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq

from stages.commands.publishing.card import Place
from stages.commands.publishing.dataset_folder import DATA, DatasetFolder, batch_hashes, split_hashes, split_of
from stages.commands.publishing.manifest import NAME, Manifest, described
from stages.shared.hub.retry import patiently

_ROWS = 500


class DifferentError(ValueError):
    """A version is not what its manifest says."""


def of_version(manifest: Manifest) -> list[str]:
    """Patterns of the files that belong to a version; whatever is under `data` would be loaded with it."""
    return [*manifest.files, f"{DATA}*"]


def check_files(files: Mapping[str, Path], manifest: Manifest) -> None:
    """Compare the files of a version, by path, with its manifest.

    Raises:
        DifferentError: a file that is missing, too many or different, or a split with another number of rows.
    """
    data = {path: file for path, file in files.items() if path.startswith(DATA)}
    extra = sorted(data.keys() - manifest.files.keys())
    if extra:
        raise DifferentError(f"{extra[0]} is not in {NAME}")
    for path, expected in manifest.files.items():
        if path not in files:
            raise DifferentError(f"{path} is missing")
        if described(files[path]) != expected:
            raise DifferentError(f"{path} is not what {NAME} says: its SHA-256 or size differs")
    rows: dict[str, int] = {}
    for path, file in data.items():
        rows[split_of(path)] = rows.get(split_of(path), 0) + pq.read_metadata(file).num_rows
    if rows != manifest.rows:
        raise DifferentError(f"the files have {rows} rows, {NAME} says {manifest.rows}")


def check_rows(place: Place, dataset: DatasetFolder) -> None:
    """Compare what `datasets.load_dataset` gives with the local variant, row by row.

    Raises:
        ValueError: other splits, or the first row that differs.
    """
    with TemporaryDirectory(prefix="publish-") as cache:
        loaded = _loaded(place, cache)
        if set(loaded) != set(dataset.rows):
            raise ValueError(f"load_dataset gives the splits {sorted(loaded)}, expected {sorted(dataset.rows)}")
        for split in dataset.rows:
            pairs = zip_longest(_hashes(loaded[split]), split_hashes(dataset.files, split))
            for number, (found, expected) in enumerate(pairs):
                if found != expected:
                    raise ValueError(f"load_dataset gives another row {number} of {split} than the local variant has")


def _loaded(place: Place, cache: str) -> Mapping[str, Any]:
    from datasets import load_dataset  # noqa: PLC0415  # takes 2.7 s
    from datasets.exceptions import DatasetsError  # noqa: PLC0415

    load = partial(load_dataset, place.address, revision=place.revision, cache_dir=cache)
    try:
        found: Mapping[str, Any] = patiently("load the dataset", load)
    except DatasetsError as error:
        raise ValueError(f"load_dataset: {error.__cause__ or error}") from error
    return found


def _hashes(split: Any) -> Iterator[str]:
    for batch in split.with_format("arrow").iter(batch_size=_ROWS):
        yield from batch_hashes(batch)
