import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import pytest

from stages import ingest
from stages.rollout import score
from stages.rollout.rollout_params import Rollout, Rollouts
from stages.shared import stage
from stages.shared.kernels.judge import versions
from stages.shared.kernels.judgements import Judgements
from stages.shared.kernels.verdict import Judgement
from stages.shared.responses.response_store import ResponseStore, StoredReply
from tests.rollout.generation import ENTRY

MODULE = {
    "module_name": "Add",
    "entry_point": "Add",
    "python_code": "class Add: ...",
    "triton_code": None,
    "repo_name": "a/b",
    "licenses": ["MIT"],
    "stars": 1,
    "sha": "s",
    "repo_link": "https://example.org/a/b",
    "uuid": 5,
}
RIGHT = Judgement("ok", has_kernel=True, launches=1, compiles=True, correct=True, flags=[], torch_ops=[], detail=None)
WRONG = replace(RIGHT, verdict="wrong", correct=False, flags=["shape_rank"], detail="values: 3 of 4 differ")
UNKNOWN = replace(RIGHT, verdict="unknown", correct=None, flags=["timeout"], detail="timeout: 10 s")
PARTLY = replace(RIGHT, flags=["in_place_input"], torch_ops=["sum"])


def line(copy: int, content: str, *, cut_off: bool = False) -> dict[str, Any]:
    """Of completions.jsonl."""
    return {
        "example_id": 0,
        "copy": copy,
        "module_id": "m",
        "module": MODULE,
        "prompt": [{"role": "user", "content": "Write it."}],
        "completion": [{"role": "assistant", "content": content, "reasoning_content": f"thought {copy}"}],
        "finish_reason": "length" if cut_off else "stop",
        "is_truncated": cut_off,
        "usage": {"completion_tokens": 3},
        "model": "maker/tiny-1",
        "seed": copy,
        "generation_ms": 100.5,
        "request_key": f"key {copy}",
    }


class Scoring:
    """Runs `score` in a folder whose store holds the judgements, so that nothing is judged."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DVC_ROOT", str(folder))
        self.folder = folder
        self.entry = dict(ENTRY)

    def run(self, lines: list[dict[str, Any]], judged: list[tuple[Judgement, float | None]]) -> stage.Metrics:
        """`judged` has the judgements of the lines that are not cut off, and the time that each took."""
        (self.folder / "completions.jsonl").write_text("".join(json.dumps(item) + "\n" for item in lines))
        params = Rollout.model_validate(self.entry)
        store = ResponseStore(self.folder / ".responses")
        jobs = [found for item in lines if (found := score.job(item, score.answer_of(item)))]
        owed = Judgements(store, params.mode, versions(params.mode), params.timeout_s).owed(jobs)
        store.add_all(
            StoredReply(item.key, 0, item.request, asdict(judgement), elapsed_ms)
            for item, (judgement, elapsed_ms) in zip(owed, judged, strict=True)
        )
        store.close()
        return score.run(
            Rollouts({"tiny": params}),
            name="tiny",
            completions=self.folder / "completions.jsonl",
            scored=self.folder / "rollouts.jsonl",
            responses=self.folder / "responses.jsonl",
        )

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in (self.folder / "rollouts.jsonl").read_text().splitlines()]


@pytest.fixture
def scoring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scoring:
    return Scoring(tmp_path, monkeypatch)


def test_a_row_is_a_published_rollout_with_its_judgement(scoring: Scoring) -> None:
    scoring.run([line(3, "So:\n<answer>\nclass AddNew: ...\n</answer>")], [(PARTLY, 250.0)])

    assert scoring.rows() == [
        {
            "example_id": 0,
            "prompt": [{"role": "user", "content": "Write it."}],
            "completion": [
                {
                    "role": "assistant",
                    "content": "So:\n<answer>\nclass AddNew: ...\n</answer>",
                    "reasoning_content": "thought 3",
                }
            ],
            "answer": "class AddNew: ...",
            "task": "tiny",
            "info": MODULE,
            "reward": 0.85,
            "speedup_reward": None,
            "generation_ms": 100.5,
            "scoring_ms": 250.0,
            "total_ms": 350.5,
            "num_turns": 1,
            "copy": 3,
            "is_truncated": False,
            "finish_reason": "stop",
            "usage": {"completion_tokens": 3},
            "model": "maker/tiny-1",
            "seed": 3,
            "request_key": "key 3",
            "verdict": "ok",
            "flags": ["in_place_input"],
            "torch_ops": ["sum"],
            "detail": None,
            "speedup": None,
            "mode": "interpret",
            "formula": "coverage",
        }
    ]


def test_every_completion_gets_a_row_and_what_is_cut_off_or_unknown_no_reward_above_0(scoring: Scoring) -> None:
    """A judgement of a store that kept no times has none."""
    lines = [
        line(0, "<answer>\nright\n</answer>"),
        line(1, "<answer>\nwrong\n</answer>"),
        line(2, "<answer>\nslow\n</answer>"),
        line(3, "<answer>\nright\n</answer>", cut_off=True),
        line(4, "<answer>\nright\n</answer>"),
    ]
    metrics = scoring.run(lines, [(RIGHT, 8.0), (WRONG, None), (UNKNOWN, 9.0)])

    rows = scoring.rows()
    assert [(row["copy"], row["reward"], row["verdict"]) for row in rows] == [
        (0, 1.0, "ok"),
        (1, 0.0, "wrong"),
        (2, None, "unknown"),
        (3, 0.0, None),
        (4, 1.0, "ok"),
    ]
    assert rows[3]["detail"] == "not_looked_at: the completion was cut off"
    assert [row["total_ms"] for row in rows] == [108.5, None, 109.5, 100.5, 108.5]
    assert metrics == {
        "rows_in": 5,
        "kept": 5,
        "verdict": {"ok": 2, "wrong": 1, "unknown": 1, "cut_off": 1},
        "flag": {"shape_rank": 1, "timeout": 1},
        "judgements": 3,
        "without_reward": 1,
        "mean_reward": 0.5,
    }
    assert len((scoring.folder / "responses.jsonl").read_text().splitlines()) == 3


def test_a_timed_kernel_is_rewarded_for_its_speed(scoring: Scoring) -> None:
    scoring.entry |= {"mode": "cuda", "formula": "speedup"}
    params = Rollout.model_validate(scoring.entry)
    stored = StoredReply("key", 0, {}, asdict(replace(RIGHT, torch_ops=["sum"], speedup=1.75)), 4.0)

    row = score.row(line(0, "fast"), "fast", params, "tiny", stored)
    assert (row["reward"], row["speedup_reward"], row["speedup"]) == (1.75, 1.75, 1.75)
    covered = score.row(line(0, ""), None, params.model_copy(update={"formula": "coverage"}), "tiny", stored)
    assert (covered["reward"], covered["speedup_reward"]) == (0.95, 1.75)
    untimed = score.row(line(0, ""), None, params, "tiny", StoredReply("key", 0, {}, asdict(RIGHT), 4.0))
    assert (untimed["reward"], untimed["speedup_reward"]) == (None, None)


def test_ingest_reads_what_score_writes(scoring: Scoring, tmp_path: Path) -> None:
    lines = [line(0, "<answer>\nright\n</answer>"), line(1, "", cut_off=True)]
    scoring.run(lines, [(RIGHT, 8.0)])
    paths = {"base": tmp_path / "rollouts.jsonl", "records": tmp_path / "r.parquet", "rejects": tmp_path / "x.parquet"}
    metrics = ingest.run(ingest.Params(base="", limit=None, max_reject_fraction=0.0), **paths)

    assert (metrics["kept"], metrics["source_format"]) == (2, {"evals": 2})
    assert (metrics["model"], metrics["scoring"]) == ({"maker/tiny-1": 2}, {"interpret, coverage": 2})
    first, second = pq.read_table(tmp_path / "r.parquet").to_pylist()
    columns = ("content", "reasoning", "answer", "reward", "scoring_ms", "total_ms", "is_truncated", "task", "uuid")
    assert [first[name] for name in columns] == [
        "<answer>\nright\n</answer>",
        "thought 0",
        "right",
        1.0,
        8.0,
        108.5,
        False,
        "tiny",
        5,
    ]
    assert (second["answer"], second["reward"], second["is_truncated"]) == (None, 0.0, True)
    extra = json.loads(first["extra"])
    assert {name: extra[name] for name in ("verdict", "model", "copy", "request_key")} == {
        "verdict": "ok",
        "model": "maker/tiny-1",
        "copy": 0,
        "request_key": "key 0",
    }


def test_ingest_knows_every_way_to_score_and_no_other() -> None:
    modes, formulas = (get_args(Rollout.model_fields[name].annotation) for name in ("mode", "formula"))
    assert {f"{mode}, {formula}" for mode in modes for formula in formulas} == ingest.SCORINGS

    assert ingest.made_here({"model": "m", "mode": "cuda", "formula": "speedup"}) == ("m", "cuda, speedup")
    assert ingest.made_here({"model": "m", "mode": "chat", "formula": 1}) is None
    assert ingest.made_here({"mode": "cuda", "formula": "speedup"}) is None


def test_without_completions_there_are_no_rollouts(scoring: Scoring) -> None:
    metrics = scoring.run([], [])

    assert (metrics["rows_in"], metrics["mean_reward"], scoring.rows()) == (0, None, [])
