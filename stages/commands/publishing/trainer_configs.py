"""Configurations that train on a published dataset, ready to use: TRL, prime-rl, Axolotl and LLaMA-Factory.

Each by the documentation of its project: TRL 1.16 (`SFTConfig`), prime-rl (docs/training.md, "SFT Trainer", and its
package renderers 0.1.12), Axolotl 0.21 (docs/dataset-formats/conversation.qmd), LLaMA-Factory 0.9.5 (data/README.md).
The first two read `prompt` and `completion`; the others want one list of messages, which a script writes. The files of
the folder `trainers` are what is written, with words to fill in; what a dataset with validation has more is apart.
"""

import json
import re
from collections.abc import Collection
from pathlib import Path
from string import Template
from typing import Any

from stages.commands.publishing.training import Training

_TEMPLATES = Path(__file__).resolve().parent / "trainers"
_PLACEHOLDER = "Qwen/Qwen3-8B"
_NAME = re.compile(r"[\w./-]+", re.ASCII)
_READ_BY_RENDERERS = frozenset({"reasoning_content", "inline"})
"""Of all keys of reasoning; renderers of prime-rl drop the others without a word."""
_BY_MODEL = """\
# auto is the renderer of the model, which reads reasoning under reasoning_content and in <think>; of a model without a
# renderer it is the chat template."""
_SOME_WITHOUT = """
# Rows without reasoning, where there are any: renderers of models that think, such as Qwen3's and GLM-4.5's, write an
# empty thought for them, and it is learned. With select.require_reasoning: true the dataset has no such rows."""
_BY_TEMPLATE = """\
# default is the chat template of the model, which knows {key}: the renderers of models drop it. The loss has the line
# that opens the answer, too."""
_ANSWERS_ALONE = """\
# default is the chat template of the model: the renderers of models that think, such as Qwen3's and GLM-4.5's, write an
# empty thought before each answer, and it is learned. So it is where the chat template writes one, as those of Qwen3-8B
# and GLM-4.5 do: train these with TRL. The loss has the line that opens the answer, too."""


def trainer_configs(repo_id: str, revision: str | None, training: Training, splits: Collection[str]) -> dict[str, str]:
    """Configurations for a dataset of rows with `prompt` and `completion`.

    Args:
        repo_id: name of the dataset, as `load_dataset` takes it.
        revision: tag or commit that is trained on; None where the name is the path of a folder.
        training: what is known of its rows.
        splits: those that have rows; without `train` there is nothing to configure.

    Returns:
        Text by path in the published repository.
    """
    if "train" not in splits:
        return {}
    model = training.model or _PLACEHOLDER
    # They become words of Python, of a shell and of comments.
    assert all(_NAME.fullmatch(name) for name in (repo_id, revision or "-", model)), (repo_id, revision, model)
    renderer, rendered = _renderer(training)
    words = {
        "repo_id": repo_id,
        "seq_len": str(training.seq_len),
        "model": model,
        "counted": _counted(training),
        "renderer": renderer,
        "rendered": rendered,
    }
    if revision is None:
        words |= {"version": repo_id, "pinned": "", "copy": f"cp -r {repo_id} dataset"}
    else:
        download = f"hf download {repo_id} --repo-type dataset --revision {revision} --local-dir dataset"
        words |= {"version": f"{repo_id} at {revision}", "pinned": f', revision="{revision}"', "copy": download}
    validated = "validation" in splits
    return {
        "trainers/trl_sft.py": _filled("trl_sft.py", words),
        "trainers/prime_rl.toml": _filled("prime_rl.toml", words, validated=validated),
        "trainers/messages.py": (_TEMPLATES / "messages.py").read_text(encoding="utf-8"),
        "trainers/axolotl.yaml": _filled("axolotl.yaml", words, validated=validated),
        "trainers/llama_factory.yaml": _filled("llama_factory.yaml", words, validated=validated),
        "trainers/dataset_info.json": json.dumps(_dataset_info(splits), indent=2) + "\n",
    }


def _filled(name: str, words: dict[str, str], *, validated: bool = False) -> str:
    """The template of a file, with that of its part for validation behind it."""
    stem, suffix = name.split(".")
    names = [name, *([f"{stem}_validation.{suffix}"] if validated else [])]
    texts = [(_TEMPLATES / f"{each}.tmpl").read_text(encoding="utf-8") for each in names]
    return Template("".join(texts)).substitute(words)


def _counted(training: Training) -> str:
    """Comments that say for which tokenizer the length holds, and whether the model is the one of it."""
    told = f"# The length was counted with the tokenizer {training.tokenizer}."
    if training.model is None:
        told += "\n# The model is an example: put yours in its place, and count with its tokenizer."
    return told


def _renderer(training: Training) -> tuple[str, str]:
    """The renderer of prime-rl that loses no reasoning and adds none, and comments on what it does."""
    if training.reasoning_key is None:
        return "default", _ANSWERS_ALONE
    if training.reasoning_key not in _READ_BY_RENDERERS:
        return "default", _BY_TEMPLATE.format(key=training.reasoning_key)
    return "auto", _BY_MODEL + ("" if training.all_reasoned else _SOME_WITHOUT)


def _dataset_info(splits: Collection[str]) -> dict[str, Any]:
    tags = {"role_tag": "role", "content_tag": "full_text"}
    roles = {"user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}
    return {
        split: {
            "file_name": f"{split}.jsonl",
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": tags | roles,
        }
        for split in sorted(splits)
    }
