import json

import pytest

from stages.shared.formats.rollouts import normalise
from tests.shared.formats.saved_rollouts import Row, changed, saved


def record(row: Row) -> Row:
    """The normal form, with `extra` as an object."""
    columns = normalise(row)
    return columns | {"extra": json.loads(columns["extra"] or "{}")}


@pytest.mark.parametrize(
    ("form", "usage"),
    [
        (
            "verifiers-0.1.10",
            {
                "completion_tokens": 28,
                "completion_tokens_details": {
                    "accepted_prediction_tokens": None,
                    "audio_tokens": None,
                    "reasoning_tokens": 7,
                    "rejected_prediction_tokens": None,
                    "text_tokens": None,
                },
                "prompt_tokens": 13,
                "prompt_tokens_details": None,
                "total_tokens": 41,
            },
        ),
        (
            "verifiers-0.1.11",
            {"completion_tokens": 28, "prompt_tokens": 13, "reasoning_tokens": 0, "total_tokens": 41},
        ),
    ],
)
def test_a_trajectory_is_kept_without_the_texts_that_repeat_the_rollout(form: str, usage: Row) -> None:
    row = saved(form)[0]
    step = row["trajectory"][0]
    about = {"id": step["response"]["id"], "created": 1768471200, "model": "zai-org/GLM-4.6", "usage": usage}
    if form == "verifiers-0.1.10":
        about["object"] = "chat.completion"
    assert record(row)["extra"]["trajectory"] == [
        {
            "response": about,
            "reward": 1.0,
            "advantage": 0.0,
            "is_truncated": False,
            "trajectory_id": step["trajectory_id"],
            "extras": {},
        }
    ]


def test_times_before_0_1_14_are_milliseconds() -> None:
    timing = {"generation_ms": 3.0, "scoring_ms": 1.0, "total_ms": 4.0, "start_time": 9.0}
    columns = record(changed("verifiers-0.1.11", "timing", timing))
    times = [columns["generation_ms"], columns["scoring_ms"], columns["total_ms"], columns["extra"]["timing"]]
    assert times == [3.0, 1.0, 4.0, {"start_time": 9.0}]


def test_a_span_that_never_ended_is_no_time() -> None:
    columns = record(changed("verifiers-0.1.11", "timing.scoring", {"start": 0.0, "end": 0.0, "duration": 0.0}))
    assert [columns["generation_ms"], columns["scoring_ms"], columns["total_ms"]] == [1500.0, None, None]


def test_metrics_that_stand_only_in_metrics_are_kept() -> None:
    columns = record(changed("verifiers-0.1.10", "metrics.launches", 2.0))
    assert columns["extra"]["metrics"] == {"launches": 2.0}


def test_a_rollout_without_a_trajectory_has_no_reasoning() -> None:
    row = saved("verifiers-0.1.10")[0]
    del row["trajectory"]
    assert record(row)["reasoning"] is None


def test_reasoning_in_the_completion_comes_before_that_of_the_raw_reply() -> None:
    row = changed("verifiers-0.1.11", "completion.0.reasoning_content", "Edited by hand.")
    assert record(row)["reasoning"] == "Edited by hand."
