import json
from typing import Any

import pytest

from stages.shared.formats.rollouts import FORMATS, normalise, source_format
from tests.shared.formats.saved_rollouts import Row, changed, saved

SCALE = """import torch
import torch.nn as nn


class Scale(nn.Module):
    def forward(self, x):
        return x * 2


def get_inputs():
    return [torch.rand([4, 4])]


def get_init_inputs():
    return [[], {}]
"""
SHIFT = SCALE.replace("Scale", "Shift").replace("x * 2", "x + 1")
CODE = "class ScaleNew(torch.nn.Module):\n    pass"
ANSWER = f"Doubled in one kernel.\n\n<answer>\n{CODE}\n</answer>"
CUT_OFF = "BEGIN_PYTHON\nclass ShiftNew(torch.nn.Module):\n    pas"
SYSTEM = {"role": "system", "content": "Write Triton kernels."}
TASK_DEFAULTS = {
    "skills": [],
    "network_allow": ["*"],
    "network_block": [],
    "artifacts": [],
    "artifact_max_bytes": 33554432,
    "timeout": {},
    "resources": {},
}


def user(text: str) -> Row:
    return {"role": "user", "content": text}


def record(row: Row) -> Row:
    """The normal form, with `extra` as an object."""
    columns = normalise(row)
    return columns | {"extra": json.loads(columns["extra"] or "{}")}


def expected(form: str, number: int, **columns: Any) -> Row:
    """A record of the fixtures' `number`-th rollout; `columns` are those that differ from the first one's."""
    first: Row = {
        "module_name": "Scale",
        "python_code": SCALE,
        "triton_code": None,
        "entry_point": None,
        "uuid": 41,
        "repo_name": "lab/blocks",
        "licenses": ["MIT"],
        "stars": 7,
        "sha": "0a1b",
        "repo_link": "https://example.org/lab/blocks",
        "prompt": [SYSTEM, user(f"{form}: Rewrite Scale.")],
        "content": ANSWER,
        "reasoning": "Elementwise, so one flat grid.",
        "answer": CODE,
        "answer_format": "answer_tag",
        "reward": 1.0,
        "speedup_reward": None,
        "generation_ms": 1500.0 + number,
        "scoring_ms": 250.0,
        "total_ms": 1750.0 + number,
        "example_id": number,
        "num_turns": 1,
        "is_truncated": False,
        "task": "kernelbook",
        "source_format": form,
        "extra": {},
    }
    assert columns.keys() <= first.keys()
    return first | columns


def cut_off(form: str, **columns: Any) -> Row:
    """The second rollout of a fixture: no reasoning, an answer that breaks off."""
    shift = {"module_name": "Shift", "python_code": SHIFT, "entry_point": "Shift", "uuid": 42}
    text = {"prompt": [user(f"{form}: Rewrite Shift.")], "content": CUT_OFF, "reasoning": None}
    answer = {"answer": None, "answer_format": None, "reward": 0.0, "is_truncated": True}
    return expected(form, 1, **shift | text | answer | columns)


def two_turns(form: str, **columns: Any) -> Row:
    """The third rollout of a fixture: the last of two turns is trained on, the first is its context."""
    first = [{"role": "assistant", "content": "Which dtype?"}, user("float32, please.")]
    text = {"prompt": [user(f"{form}: Rewrite Scale in two turns."), *first], "content": f"```python\n{CODE}\n```"}
    answer = {"reasoning": "float32 then.", "answer_format": "fence", "reward": 0.85, "num_turns": 2}
    return expected(form, 2, **text | answer | columns)


def without_trajectory(row: Row) -> Row:
    """A record without the part of `extra` that has its own test."""
    return row | {"extra": {key: value for key, value in row["extra"].items() if key != "trajectory"}}


def test_published_rollouts_are_read_whole() -> None:
    form = "evals"
    second = {"reward": None, "is_truncated": None, "content": "Too hard.", "answer_format": "field"}
    assert [record(row) for row in saved(form)] == [
        expected(form, 0, reward=1.7, speedup_reward=0.7, is_truncated=None),
        cut_off(
            form,
            answer="class ShiftNew(torch.nn.Module):\n    pass",
            extra={"difficulty": "low", "evaluation_raw": "Difficulty: low"},
            **second,
        ),
        two_turns(form, is_truncated=None, triton_code="# inductor"),
    ]


def test_rollouts_of_verifiers_0_1_9_are_read_whole() -> None:
    form = "verifiers-0.1.9"
    split = {"coverage": 0.0, "info": {"split": "train"}}
    assert [without_trajectory(record(row)) for row in saved(form)] == [
        expected(form, 0, extra={"coverage": 1.0}),
        cut_off(form, extra=split),
        two_turns(form, extra={"coverage": 0.85}),
    ]


def test_rollouts_of_verifiers_0_1_10_are_read_whole() -> None:
    """Metrics stand in the row and in `metrics`: they are kept once."""
    form = "verifiers-0.1.10"
    base = {"is_completed": True, "stop_condition": "done"}
    rest = [
        {
            **base,
            "coverage": coverage,
            "timing": {"start_time": 1768471200.0 + 64 * i},
            "token_usage": {"input_tokens": asked, "output_tokens": said},
        }
        for i, (coverage, asked, said) in enumerate([(1.0, 13.0, 28.0), (0.0, 8.0, 13.0), (0.85, 29.0, 25.0)])
    ]
    assert [without_trajectory(record(row)) for row in saved(form)] == [
        expected(form, 0, extra=rest[0]),
        cut_off(form, extra={**rest[1], "info": {"split": "train"}}),
        two_turns(form, extra=rest[2]),
    ]


def test_rollouts_of_verifiers_0_1_11_to_0_3_are_read_whole() -> None:
    """Times are spans of seconds there, and no row names its task."""
    form = "verifiers-0.1.11"
    times = {"generation_ms": 1500.0, "scoring_ms": 250.0, "total_ms": 2000.0, "task": None}
    names = ("input_tokens", "output_tokens", "final_input_tokens", "final_output_tokens")
    rest = [
        {
            "is_completed": True,
            "stop_condition": "done",
            "tool_defs": [],
            "timing": row["timing"],
            "token_usage": dict(zip(names, tokens, strict=True)),
        }
        for row, tokens in zip(saved(form), [(13, 28, 13, 28), (8, 13, 8, 13), (29, 25, 9, 25)], strict=True)
    ]
    records = [without_trajectory(record(row)) for row in saved(form)]
    assert records == [
        expected(form, 0, extra={**rest[0], "coverage": 1.0}, **times),
        cut_off(form, extra={**rest[1], "coverage": 0.0, "info": {"split": "train"}}, **times),
        two_turns(form, extra={**rest[2], "coverage": 0.85}, **times),
    ]


def test_rollouts_of_prime_rl_are_read_whole() -> None:
    """`answer` is the task's there, and `oai_tools` says null as a JSON text."""
    form = "prime-rl"
    assert [record(row) for row in saved(form)] == [
        expected(form, 0, is_truncated=None, extra={"coverage": 1.0, "answer": ""}),
        cut_off(form, is_truncated=None, extra={"coverage": 0.0, "answer": "", "info": {"split": "train"}}),
        two_turns(form, is_truncated=None, extra={"coverage": 0.85, "answer": ""}),
    ]


def test_rollouts_of_verifiers_0_4_are_read_whole() -> None:
    """The last line is an episode of two traces, each of which is a rollout; the client's set-up is not kept."""
    form = "verifiers-0.4"
    rows = saved(form)
    for row in rows:
        assert row["traces"][0]["agent"]["config"].pop("client")
    alone = [(row["traces"][0], {key: row[key] for key in row if key not in ("task", "traces")}) for row in rows]
    kept = [
        {
            "trace": {key: trace[key] for key in trace if key not in ("nodes", "task")}
            | {"task": {key: trace["task"][key] for key in ("type", "key", "hash")}},
            "episode": episode,
        }
        for trace, episode in alone
    ]
    times = {"generation_ms": 1500.0, "scoring_ms": 500.0, "total_ms": 2250.0}
    context = [user(f"{form}: Rewrite Shift."), {"role": "assistant", "content": "Which dtype?"}]
    best: Row = {
        "prompt": [user("best of two: Rewrite Scale.")],
        "content": f"<answer>\n{CODE}\n</answer>",
        "task": "best-of-n+kernelbook",
        **times,
    }
    scale, shift = {"name": "Scale", **TASK_DEFAULTS}, {"name": "Shift", **TASK_DEFAULTS}
    assert [record(row) for row in rows] == [
        expected(form, 0, reward=0.85, extra={**kept[0], "info": scale}, **times),
        cut_off(form, extra={**kept[1], "info": shift}, **times) | {"prompt": [*context, user("float32, please.")]},
        expected(form, 0, reasoning="One program a row.", extra={**kept[2], "info": scale}, **best),
        expected(form, 0, reasoning="One flat grid.", extra={**kept[3], "info": scale}, **best),
    ]
    assert [trace["rewards"] for trace, _ in alone[:2]] == [
        {"correct": {"score": 1.0, "weight": 1.0}, "heavy_operations": {"score": 3.0, "weight": -0.05}},
        {"correct": {"score": 0.0, "weight": 1.0}, "heavy_operations": {"score": 0.0, "weight": -0.05}},
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_recognised_by_its_rows(form: str) -> None:
    assert {source_format(row) for row in saved(form)} == {form}


def test_a_dataset_that_this_pipeline_published_is_no_prime_rl_file() -> None:
    row = saved("prime-rl")[0] | {"row_id": "00f1"}
    assert source_format(row) == "evals"


def test_an_unknown_shape_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"^not a known rollout format") as caught:
        normalise({"messages": [], "score": 1})
    assert str(caught.value) == (
        "not a known rollout format: got messages, score; known are evals (prompt, completion, info); "
        "verifiers-0.1.9 (prompt, completion, error, optionally trajectory); "
        "verifiers-0.1.10 (prompt, completion, timing); "
        "verifiers-0.1.11 (prompt, completion, tool_defs; written up to 0.3); "
        "verifiers-0.4 (task, traces); prime-rl (prompt, completion, info, oai_tools as a JSON text)"
    )


def test_reasoning_is_found_under_the_name_that_synthesize_was_told() -> None:
    row = changed("prime-rl", "completion.0", {"role": "assistant", "content": ANSWER, "thoughts": "One flat grid."})
    assert (record(row)["reasoning"], record(row)["extra"]) == ("One flat grid.", {"coverage": 1.0, "answer": ""})


def test_fields_of_the_trained_message_without_a_column_are_kept() -> None:
    row = changed("evals", "completion.0.name", "solver")
    assert record(row)["extra"] == {"message": {"name": "solver"}}


def test_content_in_parts_is_joined_as_chat_templates_do() -> None:
    parts = [{"type": "text", "text": "Rewrite "}, {"type": "text", "text": "Scale."}]
    assert record(changed("verifiers-0.1.11", "prompt.1.content", parts))["prompt"] == [SYSTEM, user("Rewrite Scale.")]
    assert record(changed("evals", "completion.0.content", None))["content"] == ""
