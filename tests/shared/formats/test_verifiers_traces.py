from typing import Any

from stages.shared.formats.rollouts import normalise
from stages.shared.formats.verifiers_traces import split_episode
from tests.shared.formats.saved_rollouts import Row, changed, saved


def episode(*traces: Row) -> Row:
    return saved("verifiers-0.4")[0] | {"traces": list(traces)}


def trace(trainable: bool | None, name: str) -> Row:
    return {"id": name, "agent": {"name": name} | ({} if trainable is None else {"trainable": trainable})}


def split_ids(row: Row) -> list[Any]:
    return [[part["id"] for part in one["traces"]] for one in split_episode(row)]


def test_each_trace_of_a_trainable_agent_is_a_rollout() -> None:
    solvers = [trace(trainable=True, name="a"), trace(trainable=None, name="b")]
    assert split_ids(episode(solvers[0], trace(trainable=False, name="judge"), solvers[1])) == [["a"], ["b"]]


def test_of_an_episode_without_a_trainable_agent_every_trace_is_a_rollout() -> None:
    assert split_ids(episode(trace(trainable=False, name="a"), trace(trainable=False, name="b"))) == [["a"], ["b"]]


def test_an_episode_that_cannot_be_split_is_left_as_it_is() -> None:
    assert split_episode({"task": {}, "traces": "lost"}) == [{"task": {}, "traces": "lost"}]
    assert split_episode({"task": {}, "traces": []}) == [{"task": {}, "traces": []}]


def test_a_trace_that_was_never_scored_has_no_reward() -> None:
    rewards = [{}, {"correct": None}, {"correct": {"weight": 2.0}}]
    assert [normalise(changed("verifiers-0.4", "traces.0.rewards", given))["reward"] for given in rewards] == [None] * 3


def test_the_reward_is_the_exact_sum_of_scores_times_weights() -> None:
    """Added one by one, ten times 0.1 is 0.9999999999999999, and the built-in sum differs between Python versions."""
    rewards = {f"part_{i}": {"score": 0.1, "weight": 1.0} for i in range(10)}
    assert normalise(changed("verifiers-0.4", "traces.0.rewards", rewards))["reward"] == 1.0


def test_a_reward_named_speedup_reward_is_the_speedup_column() -> None:
    rewards = {"speedup_reward": {"score": 1.5, "weight": 0.5}, "correct": {"score": 1.0}}
    columns = normalise(changed("verifiers-0.4", "traces.0.rewards", rewards))
    assert (columns["reward"], columns["speedup_reward"]) == (1.75, 1.5)


def test_a_trace_is_truncated_by_a_limit_or_by_its_last_call_that_did_not_fail() -> None:
    def truncated(path: str, value: Any) -> bool:
        return bool(normalise(changed("verifiers-0.4", f"traces.0.{path}", value))["is_truncated"])

    stopped, failed = {"node": 2, "finish_reason": "stop"}, {"error": {"type": "ProviderError"}}
    assert truncated("stop_condition", "max_output_tokens")
    assert truncated("calls", [stopped, {"node": 2, "finish_reason": "length"}, failed])
    assert not truncated("calls", [{"node": 2, "finish_reason": "length"}, stopped])
    assert not truncated("calls", [])


def test_the_rollout_is_the_branch_of_the_last_reply() -> None:
    """A branch that was left, and a message after the last reply, are not part of it."""

    def node(parent: int | None, role: str, content: str) -> Row:
        return {"parent": parent, "sampled": role == "assistant", "message": {"role": role, "content": content}}

    nodes = [
        node(None, "user", "Rewrite Scale."),
        node(0, "assistant", "A first try."),
        node(0, "assistant", "<think>hm</think>Which dtype?"),
        node(2, "user", "float32."),
        node(3, "assistant", "Done."),
        node(4, "user", "Thanks."),
    ]
    columns = normalise(changed("verifiers-0.4", "traces.0.nodes", nodes))
    assert [turn["content"] for turn in columns["prompt"]] == ["Rewrite Scale.", "Which dtype?", "float32."]
    assert (columns["content"], columns["num_turns"]) == ("Done.", 2)
