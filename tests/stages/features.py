"""The columns that a loaded dataset must have, as the `datasets` library names them."""

from typing import Any

PROVENANCE = {
    "module_name": "string",
    "python_code": "string",
    "triton_code": "string",
    "uuid": "int64",
    "repo_name": "string",
    "licenses": ["string"],
    "stars": "int64",
    "sha": "string",
    "repo_link": "string",
}


def features(columns: dict[str, Any]) -> Any:
    """Features from names of dtypes; a list has one item, a struct is a dict."""
    from datasets import Features  # noqa: PLC0415

    return Features({name: _feature(kind) for name, kind in columns.items()})


def rollout_columns(message: tuple[str, ...], more: dict[str, str]) -> dict[str, Any]:
    """Columns of a dataset of rollouts whose assistant message has these keys."""
    return {
        "example_id": "int64",
        "prompt": [{"role": "string", "content": "string"}],
        "completion": [dict.fromkeys(message, "string")],
        "answer": "string",
        "task": "string",
        "reward": "float64",
        "generation_ms": "float64",
        "scoring_ms": "float64",
        "total_ms": "float64",
        "info": PROVENANCE,
        "speedup_reward": "float64",
        "num_turns": "int64",
        "oai_tools": "string",
        **more,
    }


def rollout_row(record: dict[str, Any], message: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What a dataset publishes of a record whose assistant message has these keys, or other values for them."""
    names = rollout_columns((), {}).keys() - {"completion", "info", "oai_tools"}
    return {
        **{name: record.get(name) for name in names},
        "completion": [{"role": "assistant", "content": record["content"]} | message],
        "info": {name: record.get(name) for name in PROVENANCE},
        "oai_tools": None,
        **more,
    }


def _feature(kind: Any) -> Any:
    from datasets import List, Value  # noqa: PLC0415

    match kind:
        case [inner]:
            return List(_feature(inner))
        case dict():
            return {name: _feature(inner) for name, inner in kind.items()}
        case _:
            return Value(kind)
