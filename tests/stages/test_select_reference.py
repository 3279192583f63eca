"""Four stages in a row choose the rows of `unique` as the reference does, where nothing else drops a row."""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from stages import dedupe, filter_reward, select
from tests.stages import tables

NAMES = "abcd"
ROLLOUTS = st.lists(st.tuples(st.sampled_from(NAMES), st.none() | st.sampled_from([0.85, 0.9, 1.2, 2.0])), max_size=12)
SELECT = select.Params(
    drop_contaminated=True, drop_repeats=True, require_reasoning=False, licenses=[], max_gate_failures=0
)


def published(folder: Path, rollouts: list[tuple[str, float | None]]) -> list[int]:
    """Positions of the rows that the stages choose."""
    ids = [f"r{i}" for i in range(len(rollouts))]
    files = tables.write(
        folder,
        records=[tables.record(i, module_id=n, reward=r) for i, (n, r) in zip(ids, rollouts, strict=True)],
        lengths=[{"row_id": row_id, "gate": "ok"} for row_id in ids],
        clusters=[{"module_id": n, "module_name": n, "group_id": n, "code_hash": n, "cluster_id": n} for n in NAMES],
        contamination=[{"module_id": n, "contaminated": False} for n in NAMES],
        splits=[{"group_id": n, "split": "train"} for n in NAMES],
    )
    verdicts = tables.write(folder, verdicts=[{"row_id": i, "verdict": "unknown", "flags": []} for i in ids])
    made = {name: folder / f"{name}.parquet" for name in ("kept", "unique")}
    knobs = filter_reward.Params(cutoff=0.85, drop_flags=[], require_verdict="none")
    filter_reward.run(knobs, records=files["records"], **verdicts, kept=made["kept"])
    dedupe.run(dedupe.Params(key="module_name"), records=files["records"], clusters=files["clusters"], **made)
    kept = [row["row_id"] for row in tables.rows(made["kept"]) if row["kept"]]
    made |= tables.write(folder, difficulty=[{"row_id": row_id, "difficulty": "low"} for row_id in kept])
    metrics = select.run(SELECT, tables.VARIANTS, **files, **made, selection=folder / "selection.parquet")
    assert (metrics["replaced_winners"], metrics["lost_winners"]) == (0, 0)
    return [i for i, row in enumerate(tables.rows(folder / "selection.parquet")) if row["best"] is None]


@given(ROLLOUTS)
def test_of_each_name_the_first_row_with_the_best_reward_above_the_cutoff(
    rollouts: list[tuple[str, float | None]],
) -> None:
    best: dict[str, tuple[float, int]] = {}
    for i, (name, reward) in enumerate(rollouts):
        if reward is not None and reward > 0.85 and (name not in best or reward > best[name][0]):
            best[name] = reward, i
    with tempfile.TemporaryDirectory() as folder:
        assert published(Path(folder), rollouts) == sorted(i for _, i in best.values())
