from typing import Any

import pytest

from stages.shared.formats.rollouts import normalise
from tests.shared.formats.saved_rollouts import Row, changed

RAW = "trajectory.0.response.choices.0.message"
NODE = "traces.0.nodes"
LOST = (
    "completion: expected reasoning, as the usage counts 7 reasoning tokens, but no field holds it: "
    "it was lost on the way"
)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (changed("evals", "prompt", None), "prompt: expected a text or a list of messages, got None"),
        (changed("evals", "completion", []), "completion: expected a text or a list of messages, got []"),
        (changed("evals", "prompt.0", "hi"), "prompt[0]: expected a message with a role, got 'hi'"),
        (
            changed("evals", "completion.0", {"role": 3}),
            "completion[0]: expected a message with a role, got {'role': 3}",
        ),
        (
            changed("evals", "completion.0.tool_calls", [{"id": "1"}]),
            "completion[0].tool_calls: expected none, tool use cannot be published",
        ),
        (changed("evals", "completion.0.content", 3), "completion[0].content: expected a text, got 3"),
        (
            changed("evals", "prompt.1.content", [{"type": "image_url", "image_url": {"url": "data:"}}]),
            "prompt[1].content: expected a text, got [{'type': 'image_url', 'image_url': {'url': 'data:'}}]",
        ),
        (changed("evals", "completion.0.role", "user"), "completion[0].role: expected assistant, got 'user'"),
        (changed("evals", "info", None), "info: expected an object, got None"),
        (changed("evals", "info", "{'a': 1}"), "info: expected an object, got \"{'a': 1}\""),
        (changed("evals", "info", "[" * 100_000), f"info: expected an object, got '{'[' * 56}..."),
        (changed("evals", "info.module_name", None), "info.module_name: expected a text, got None"),
        (changed("evals", "info.python_code", 3), "info.python_code: expected a text, got 3"),
        (changed("evals", "info.uuid", 1 << 63), "info.uuid: expected int or null, got 9223372036854775808"),
        (changed("evals", "info.stars", "7"), "info.stars: expected int or null, got '7'"),
        (changed("evals", "info.licenses", [None]), "info.licenses: expected a list of texts, got [None]"),
        (changed("evals", "num_turns", 1.5), "num_turns: expected int or null, got 1.5"),
        (changed("evals", "task", 3), "task: expected str or null, got 3"),
        (changed("evals", "reward", "1"), "reward: expected a number or null, got '1'"),
        (
            changed("evals", "reward", 10**400),
            "reward: expected a finite number or null, got a larger one than a float holds",
        ),
        (changed("evals", "usage", {"reasoning_tokens": 7}, 1), LOST),
        (changed("verifiers-0.1.9", f"{RAW}.reasoning", None), LOST),
        (changed("verifiers-0.1.10", f"{RAW}.reasoning_content", " "), LOST),
        (changed("verifiers-0.1.11", "trajectory.0.response.usage.reasoning_tokens", 7, 1), LOST),
        (changed("verifiers-0.4", f"{NODE}.2.message.reasoning_content", ""), LOST),
        (changed("verifiers-0.1.9", "trajectory", {}), "trajectory: expected a list of objects, got {}"),
        (changed("verifiers-0.1.9", "trajectory.0", 3), "trajectory[0]: expected an object, got 3"),
        (
            changed("verifiers-0.1.9", "trajectory.0.response", "ChatCompletion()"),
            "trajectory[-1].response: expected an object, got 'ChatCompletion()'",
        ),
        (
            changed("verifiers-0.1.10", f"{RAW}.content", "Another reply."),
            "trajectory[-1].response: expected the reply that ends the completion, got 'Another reply.'",
        ),
        (changed("verifiers-0.1.10", "timing", 3), "timing: expected an object, got 3"),
        (
            changed("verifiers-0.1.10", "timing.scoring_ms", "fast"),
            "scoring_ms: expected a number or null, got 'fast'",
        ),
        (
            changed("verifiers-0.1.11", "timing.generation.start", "noon"),
            "timing.generation.start: expected a number or null, got 'noon'",
        ),
        (
            changed("verifiers-0.1.10", "completion", []) | {"error": {"error": "ModelError"}},
            "completion: expected a reply, but the rollout failed: {'error': 'ModelError'}",
        ),
        (changed("verifiers-0.4", "traces", {}), "traces: expected a list of objects, got {}"),
        (changed("verifiers-0.4", "traces", []), "traces: expected one trace, got 0"),
        (
            changed("verifiers-0.4", "traces", []) | {"errors": [{"type": "EnvError"}]},
            "traces: expected one trace, got 0, the rollout failed: {'type': 'EnvError'}",
        ),
        (changed("verifiers-0.4", NODE, []), "traces[0].nodes: expected a reply of the model, got none"),
        (
            changed("verifiers-0.4", f"{NODE}.1.parent", 2),
            "traces[0].nodes[1].parent: expected an earlier node, got 2",
        ),
        (changed("verifiers-0.4", "traces.0.task.data", []), "task.data: expected an object, got []"),
        (
            changed("verifiers-0.4", "traces.0.rewards.correct", 1),
            "traces[0].rewards.correct: expected an object, got 1",
        ),
        (
            changed("verifiers-0.4", "traces.0.rewards.correct.score", "1"),
            "traces[0].rewards.correct.score: expected a number or null, got '1'",
        ),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(row: Row, message: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        normalise(row)
    assert str(caught.value) == message


def test_a_field_that_json_cannot_hold_is_an_error() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(ValueError, match=r"^a field without a column cannot be kept as JSON: maximum recursion depth"):
        normalise(changed("evals", "oai_tools", nested))
    with pytest.raises(ValueError, match=r"^num_turns: expected int or null, got a list that is nested too deeply"):
        normalise(changed("evals", "num_turns", nested))
