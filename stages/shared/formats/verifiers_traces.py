"""Rollouts as verifiers 0.4 saves them: the lines of `traces.jsonl`, each an episode of one or several traces."""

import math
from collections.abc import Mapping
from typing import Any

from stages.shared.formats.fields import json_object, number, objects, shown
from stages.shared.formats.time_spans import span_milliseconds

_LIMITS = ("max_turns", "max_input_tokens", "max_output_tokens", "max_total_tokens", "compaction_failed")


def split_episode(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """One episode for each trace of an episode that is a rollout.

    Rollouts are the traces of trainable agents, or all traces where there is none: judges and simulated users are
    marked as not trainable (verifiers' own scores count the same traces).
    """
    traces = row.get("traces")
    if not isinstance(traces, list) or len(traces) < 2:
        return [row]
    return [{**row, "traces": [trace]} for trace in filter(_is_trainable, traces)] or [
        {**row, "traces": [trace]} for trace in traces
    ]


def flatten(row: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Bring an episode of one trace to the fields of a published row.

    The conversation is the branch of the message graph that ends in the last message the model wrote. What is known
    of the module stands in `task.data`, or in `info` therein. The reward is the sum of score x weight, which the
    file does not hold; without any score it is missing. Of the episode are left out: the nodes of the graph (the
    conversation and its tokens), the prompts in the task and the set-up of the agent's client, which can hold a key.

    Returns:
        The fields, and the token usage of the last call, None where it is not saved.

    Raises:
        ValueError: field and what was expected, or why the rollout has no completion.
    """
    episode = {key: value for key, value in row.items() if key not in ("traces", "task")}
    traces = objects(row["traces"], "traces")
    if len(traces) != 1:
        raise ValueError(f"traces: expected one trace, got {len(traces)}{_failure(episode)}")
    trace = dict(traces[0])
    nodes = objects(trace.pop("nodes", None), "traces[0].nodes")
    calls = objects(trace.get("calls"), "traces[0].calls")
    path = _last_branch(nodes)
    if not path:
        why = _failure(trace) or _failure(episode)
        raise ValueError(f"traces[0].nodes: expected a reply of the model, got none{why}")
    start = next(i for i, node in enumerate(path) if nodes[node].get("sampled") is True)
    turns = [nodes[node].get("message") for node in path]
    usage = next((call.get("usage") for call in reversed(calls) if call.get("node") == path[-1]), None)
    task = json_object(trace.pop("task", None) or row["task"], "task")
    info = _module_facts(json_object(task.pop("data", None), "task.data"))
    rewards = _named_rewards(trace.get("rewards"))
    fields = {
        "prompt": turns[:start],
        "completion": turns[start:],
        "info": info,
        "reward": _weighted_sum(rewards),
        "speedup_reward": rewards.get("speedup_reward", {}).get("score"),
        "example_id": info.pop("idx", None),
        "num_turns": sum(nodes[node].get("sampled") is True for node in path),
        "is_truncated": _is_truncated(trace, calls),
        "task": json_object(episode.get("env") or {}, "env").get("id"),
        "trace": _without_client(trace) | {"task": task},
        "episode": episode,
    }
    timing = json_object(trace.get("timing") or {}, "traces[0].timing")
    return fields | span_milliseconds(timing, "agent", "scoring"), usage


def _without_client(trace: dict[str, Any]) -> dict[str, Any]:
    """The trace without the set-up of the agent's client: its headers can hold a key."""
    agent = trace.get("agent")
    if not isinstance(agent, dict) or not isinstance(agent.get("config"), dict):
        return trace
    kept = {key: value for key, value in agent["config"].items() if key != "client"}
    return trace | {"agent": agent | {"config": kept}}


def _is_trainable(trace: Any) -> bool:
    agent = trace.get("agent") if isinstance(trace, dict) else None
    return not (isinstance(agent, dict) and agent.get("trainable") is False)


def _last_branch(nodes: list[dict[str, Any]]) -> list[int]:
    """Indices from the root to the last message that the model wrote; a parent stands before its children."""
    node = max((i for i, node in enumerate(nodes) if node.get("sampled") is True), default=None)
    path = []
    while node is not None:
        path.append(node)
        parent = nodes[node].get("parent")
        if parent is not None and not (type(parent) is int and 0 <= parent < node):
            raise ValueError(f"traces[0].nodes[{node}].parent: expected an earlier node, got {shown(parent)}")
        node = parent
    return path[::-1]


def _module_facts(data: dict[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in data.items() if key not in ("prompt", "system_prompt", "info")}
    return own | json_object(data.get("info") or {}, "task.data.info")


def _named_rewards(value: Any) -> dict[str, dict[str, Any]]:
    """The rewards that were scored: null says that scoring did not run."""
    given = json_object(value or {}, "traces[0].rewards")
    return {name: json_object(part, f"traces[0].rewards.{name}") for name, part in given.items() if part is not None}


def _weighted_sum(rewards: dict[str, dict[str, Any]]) -> float | None:
    values = []
    for name, reward in rewards.items():
        part = {"weight": 1.0, **reward}
        score, weight = (number(part, key, f"traces[0].rewards.{name}.") for key in ("score", "weight"))
        if score is not None and weight is not None:
            values.append(score * weight)
    # Not sum(): since Python 3.12 it adds floats more exactly than before, and a reward must not depend on that.
    return math.fsum(values) if values else None


def _is_truncated(trace: dict[str, Any], calls: list[dict[str, Any]]) -> bool:
    """As `Trace.is_truncated` of verifiers 0.4, which the file does not hold."""
    last: dict[str, Any] = next((call for call in reversed(calls) if call.get("error") is None), {})
    return trace.get("stop_condition") in _LIMITS or last.get("finish_reason") == "length"


def _failure(part: Mapping[str, Any]) -> str:
    errors = part.get("errors")
    return f", the rollout failed: {shown(errors[-1])}" if isinstance(errors, list) and errors else ""
