"""What the columns of published rows mean."""

from collections.abc import Mapping

import pyarrow as pa

from stages.shared.cards.markdown import Markdown, code, markdown_table

PROVENANCE = {
    "module_name": "name of the PyTorch module",
    "python_code": "the module's code",
    "triton_code": "Triton code that the source gives with the module, as a compiler made it",
    "uuid": "number of the module in its source",
    "repo_name": "repository that the module comes from",
    "licenses": "licences of that repository",
    "stars": "its stars",
    "sha": "its commit",
    "repo_link": "its address",
}
FATES = {
    "split": "side of the trained datasets on which the row's module stands: train, validation or excluded",
    "contaminated": "whether the module stands in a benchmark",
}
ROLLOUTS = {
    "example_id": "number of the problem in the source, else of the row",
    "prompt": "messages before the completion",
    "completion": "the assistant's message",
    "answer": "the code of the answer alone",
    "task": "task of the source",
    "reward": "reward, as the source gave it",
    "generation_ms": "time of the generation, from the source",
    "scoring_ms": "time of the scoring, from the source",
    "total_ms": "whole time, from the source",
    "info": "the PyTorch module and where it comes from:",
    **{f"info.{name}": meaning for name, meaning in PROVENANCE.items()},
    "speedup_reward": "speed over PyTorch, as the source gave it",
    "num_turns": "turns of the rollout; the turns before the last answer are in the prompt",
    "oai_tools": "tools that the model was offered, as JSON",
    "difficulty": "how hard the module is to write as a kernel: low, medium or high",
    "evaluation_raw": "what the rater said",
    "row_id": "identity of the row by its content; the same in all datasets and versions",
    "group_id": "modules of one group are never in two splits",
    "n_total_tokens": "tokens of the whole row through the chat template",
    "repeat_of": "`row_id` of the first row with the same content",
    **FATES,
}
SPECIFICATIONS = {
    "prompt": "the task specification",
    **PROVENANCE,
    "writer": "who wrote the specification: template, or the name of a model",
    "module_id": "identity of the module by its code and name",
    **FATES,
}


def columns_table(schema: pa.Schema, meanings: Mapping[str, str]) -> str:
    """A table of all columns, those of `info` one by one.

    Args:
        schema: of the data.
        meanings: by column; each column must have one.
    """
    lines = []
    for column in schema:
        lines.append((column.name, _type(column.type), Markdown(meanings[column.name])))
        if pa.types.is_struct(column.type):
            inner = [column.type.field(i) for i in range(column.type.num_fields)]
            names = [f"{column.name}.{field.name}" for field in inner]
            lines += [
                (name, _type(field.type), Markdown(meanings[name])) for name, field in zip(names, inner, strict=True)
            ]
    return markdown_table(["column", "type", "meaning"], lines)


def completion_meaning(reasoning_key: str, *, reasoning: bool) -> str:
    """What the assistant's message holds."""
    if not reasoning:
        return "the assistant's message: the answer alone, in `<answer>` tags"
    if reasoning_key == "inline":
        return "the assistant's message: the reasoning in `<think>` tags, then the answer"
    return f"the assistant's message: the answer in `content`, the reasoning in {code(reasoning_key)}"


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    if pa.types.is_struct(kind):
        names = [kind.field(i).name for i in range(kind.num_fields)]
        return "struct" if len(names) > 3 else f"{{{', '.join(names)}}}"
    return {"double": "float64"}.get(str(kind), str(kind))
