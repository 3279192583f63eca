"""What the pipeline published, against the reference's rule and the plain token counts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow.parquet as pq

CUTOFF = 0.85
_RENDERED = ("n_prompt_tokens", "n_total_tokens", "n_total_tokens_no_reasoning")


class _Info(msgspec.Struct):
    module_name: str


class _Row(msgspec.Struct):
    example_id: int
    reward: float
    info: _Info


class Ids(NamedTuple):
    """Sorted example ids, a further copy of an id included."""

    kept: list[int]
    unique: list[int]


def reference_ids(rollouts: Path) -> Ids:
    """The reference's rule: a reward above 0.85; of each module name the best reward, the first row of a tie."""
    decoder = msgspec.json.Decoder(_Row)
    kept: list[int] = []
    best: dict[str, _Row] = {}
    with rollouts.open("rb") as lines:
        for row in map(decoder.decode, lines):
            if row.reward > CUTOFF:
                kept.append(row.example_id)
                name = row.info.module_name
                if name not in best or row.reward > best[name].reward:
                    best[name] = row
    return Ids(sorted(kept), sorted(row.example_id for row in best.values()))


def published_ids(datasets: Path) -> Ids:
    """The rows of the datasets `filtered` and `unique`, both splits."""
    return Ids(*(sorted(_column(datasets / name / "data", "example_id")) for name in ("filtered", "unique")))


def different_counts(data: Path, expected: Mapping[str, int]) -> list[int]:
    """Example ids whose total tokens, in the pipeline's `data` folder, differ from the expected ones."""
    ids, totals = _column(data / "records.parquet", "example_id"), _column(data / "lengths.parquet", "n_total_tokens")
    found = dict(zip(ids, totals, strict=True))
    return [int(example_id) for example_id, n in expected.items() if found[int(example_id)] != n]


def rendered_tokens(data: Path) -> int:
    """Tokens of all that `measure_lengths` renders: each row's prompt, the whole, the whole without reasoning."""
    return sum(sum(_column(data / "lengths.parquet", name)) for name in _RENDERED)


def agree(base: Path, data: Path, counts: Mapping[str, int]) -> bool:
    """Whether the pipeline published the rows of the reference's rule and counted the same tokens; prints both.

    Args:
        base: the rollouts.
        data: the pipeline's `data` folder.
        counts: total tokens of some rows by example id, as the plain loop counts them.
    """
    different = different_counts(data, counts)
    print(f"Equal counts: {len(counts) - len(different):,} of {len(counts):,} rows.")
    expected, found = reference_ids(base), published_ids(data / "datasets")
    for name, want, got in zip(expected._fields, expected, found, strict=True):
        print(f"Rows {name}: {len(got):,} published, {'the' if got == want else 'NOT the'} {len(want):,} of the rule.")
    return not different and expected == found


def _column(path: Path, name: str) -> list[Any]:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    return [value for file in files for value in pq.read_table(file, columns=[name])[name].to_pylist()]
