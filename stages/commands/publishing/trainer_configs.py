"""Configurations that train on a published dataset, ready to use: TRL, prime-rl, Axolotl and LLaMA-Factory.

Each by the documentation of its project: TRL 1.16 (`SFTConfig`), prime-rl (docs/training.md, "SFT Trainer"), Axolotl
0.21 (docs/dataset-formats/conversation.qmd), LLaMA-Factory 0.9.5 (data/README.md). The first two read `prompt` and
`completion`; the others want one list of messages, which a script writes.
"""

import json
import re
from collections.abc import Collection
from typing import Any

import yaml

_MODEL = "Qwen/Qwen3-8B"
_NAME = re.compile(r"[\w./-]+", re.ASCII)
_FETCH = """\
# Expects a copy of {version} in the folder dataset:
# {copy}
"""
_TRL = '''\
"""Train on {version} with TRL 1.16 or later.

    MODEL=... OUTPUT=... python trl_sft.py

DATASET may be the folder of a local copy; MAX_STEPS=2 is a trial.
"""

import os

import torch
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer


def mode(row):
    """Models that think by switch learn to answer at once where a row has no reasoning."""
    message = row["completion"][-1]
    thinks = "<think>" in message["content"] or any(message[key] for key in message.keys() - {{"role", "content"}})
    return {{"chat_template_kwargs": {{"enable_thinking": thinks}}}}


splits = load_dataset(os.environ.get("DATASET", "{repo_id}"){pinned})
splits = splits.select_columns(["prompt", "completion"]).map(mode)
gpu = torch.accelerator.is_available()
config = SFTConfig(
    output_dir=os.environ.get("OUTPUT", "output"),
    max_length={seq_len},
    completion_only_loss=True,
    per_device_train_batch_size=1,
    gradient_accumulation_steps=8,
    learning_rate=1e-5,
    lr_scheduler_type="cosine",
    num_train_epochs=2,
    max_steps=int(os.environ.get("MAX_STEPS", "-1")),
    eval_strategy="epoch" if "validation" in splits else "no",
    logging_steps=1,
    report_to="none",
    use_cpu=not gpu,
    bf16=gpu,
)
trainer = SFTTrainer(
    model=os.environ.get("MODEL", "{model}"),
    args=config,
    train_dataset=splits["train"],
    eval_dataset=splits.get("validation"),
)
trainer.train()
trainer.save_model()
'''
_PRIME_RL = """\
# uv run sft @ dataset/trainers/prime_rl.toml

# One epoch is the tokens of the dataset / (batch_size * seq_len); without a number a run does not end.
max_steps = 100

[model]
name = "{model}"

[renderer]
name = "auto"

[data]
name = "dataset"
splits = ["train"]
seq_len = {seq_len}
batch_size = 32

[optim]
lr = 1e-5

[ckpt]
"""
_PRIME_RL_VALIDATION = """
[val]
interval = 50

[val.data]
name = "dataset"
splits = ["validation"]
seq_len = {seq_len}
batch_size = 32
"""
_MESSAGES = '''\
"""Write each split of this dataset as a file of conversations beside this script, for Axolotl and LLaMA-Factory.

A message has `role`, `content` and reasoning as published, `full_text` (the reasoning in <think> before the content)
and `train` (learn it: the completion, not the turns before it).
"""

import json
from pathlib import Path

from datasets import load_dataset

HERE = Path(__file__).resolve().parent


def message(published, train):
    kept = {key: value for key, value in published.items() if value is not None}
    thought = "".join(value for key, value in kept.items() if key not in ("role", "content"))
    said = f"<think>\\n{thought}\\n</think>\\n\\n{kept['content']}" if thought else kept["content"]
    return kept | {"full_text": said, "train": train}


for name, rows in load_dataset(str(HERE.parent)).items():
    with (HERE / f"{name}.jsonl").open("w", encoding="utf-8") as file:
        for row in rows:
            turns = [message(turn, False) for turn in row["prompt"]]
            turns += [message(turn, True) for turn in row["completion"]]
            print(json.dumps({"messages": turns}, ensure_ascii=False), file=file)
'''
_BY_MESSAGES = """\
# python dataset/trainers/messages.py
# {command}

"""


def trainer_configs(repo_id: str, revision: str | None, seq_len: int, splits: Collection[str]) -> dict[str, str]:
    """Configurations for a dataset of rows with `prompt` and `completion`.

    Args:
        repo_id: name of the dataset, as `load_dataset` takes it.
        revision: tag or commit that is trained on; None where the name is the path of a folder.
        seq_len: tokens that a trainer keeps of a row.
        splits: those that have rows; without `train` there is nothing to configure.

    Returns:
        Text by path in the published repository.
    """
    if "train" not in splits:
        return {}
    validation = "validation" in splits
    # They become words of Python, of a shell and of comments.
    assert all(_NAME.fullmatch(name) for name in (repo_id, revision or "-")), (repo_id, revision)
    names = {"repo_id": repo_id, "seq_len": seq_len, "model": _MODEL}
    if revision is None:
        names |= {"version": repo_id, "pinned": "", "copy": f"cp -r {repo_id} dataset"}
    else:
        download = f"hf download {repo_id} --repo-type dataset --revision {revision} --local-dir dataset"
        names |= {"version": f"{repo_id} at {revision}", "pinned": f', revision="{revision}"', "copy": download}
    fetch = _FETCH.format(**names)
    axolotl = _BY_MESSAGES.format(command="axolotl train dataset/trainers/axolotl.yaml")
    llama_factory = _BY_MESSAGES.format(command="llamafactory-cli train dataset/trainers/llama_factory.yaml")
    return {
        "trainers/trl_sft.py": _TRL.format(**names),
        "trainers/prime_rl.toml": fetch + (_PRIME_RL + (_PRIME_RL_VALIDATION if validation else "")).format(**names),
        "trainers/messages.py": _MESSAGES,
        "trainers/axolotl.yaml": fetch + axolotl + _yaml(_axolotl(seq_len, validation=validation)),
        "trainers/llama_factory.yaml": fetch + llama_factory + _yaml(_llama_factory(seq_len, validation=validation)),
        "trainers/dataset_info.json": json.dumps(_dataset_info(splits), indent=2) + "\n",
    }


def _axolotl(seq_len: int, *, validation: bool) -> dict[str, Any]:
    def conversations(split: str) -> dict[str, Any]:
        return {
            "path": f"dataset/trainers/{split}.jsonl",
            "ds_type": "json",
            "split": "train",
            "type": "chat_template",
            "field_messages": "messages",
            "roles_to_train": [],
            "message_field_training": "train",
            "train_on_eos": "turn",
        }

    return {
        "base_model": _MODEL,
        "chat_template": "tokenizer_default",
        "datasets": [conversations("train")],
        **({"test_datasets": [conversations("validation")], "evals_per_epoch": 1} if validation else {}),
        "dataset_prepared_path": "prepared",
        "sequence_len": seq_len,
        "output_dir": "output",
        "micro_batch_size": 1,
        "gradient_accumulation_steps": 8,
        "num_epochs": 2,
        "learning_rate": 1e-5,
        "optimizer": "adamw_torch_fused",
        "lr_scheduler": "cosine",
        "bf16": "auto",
        "gradient_checkpointing": True,
    }


def _llama_factory(seq_len: int, *, validation: bool) -> dict[str, Any]:
    return {
        "model_name_or_path": _MODEL,
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "dataset_dir": "dataset/trainers",
        "dataset": "train",
        **({"eval_dataset": "validation", "eval_strategy": "epoch"} if validation else {}),
        "template": "qwen3",
        # Neither in the loss nor removed: rows without reasoning get an empty thought before what is learned.
        "enable_thinking": None,
        "mask_history": True,
        "cutoff_len": seq_len,
        "output_dir": "output",
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 8,
        "num_train_epochs": 2,
        "learning_rate": 1e-5,
        "lr_scheduler_type": "cosine",
        "bf16": True,
        "logging_steps": 1,
        "report_to": "none",
    }


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


def _yaml(config: dict[str, Any]) -> str:
    return yaml.safe_dump(config, sort_keys=False)
