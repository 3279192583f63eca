"""Run `trainers/trl_sft.py` of datasets as a person does, with a tiny model on a CPU, and tell what it learned from.

    python -m tests.commands.trl_runs OUT DATASET... [--template TEMPLATE DATASET]

Writes `OUT/<name of the dataset>.json`; of the run with another chat template than the sample's
`OUT/other/<name of the dataset>.json`.
"""

import argparse
import json
import os
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.imports import ROOT

MAX_STEPS = 2


def make_model(folder: Path, template: Path | None) -> None:
    """A Llama of one layer with random weights and the sample's tokenizer, with its chat template or another one."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM  # noqa: PLC0415  # takes seconds

    tokenizer = AutoTokenizer.from_pretrained(ROOT / "data" / "sample" / "tokenizer")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if template:
        shutil.copy(template, folder / "chat_template.jinja")


def learned(trainer: Any, dataset: Any) -> list[str]:
    """What the loss sees of each row."""
    tokenizer = trainer.processing_class
    return [tokenizer.decode([label for label in row["labels"] if label != -100]) for row in dataset]


def run(dataset: Path, out: Path) -> dict[str, Any]:
    """Run the script of a dataset, given nothing but what it documents."""
    variables = {"MODEL": out / "model", "DATASET": dataset, "OUTPUT": out / dataset.name, "MAX_STEPS": MAX_STEPS}
    os.environ.update({name: str(value) for name, value in variables.items()})
    script = dataset / "trainers" / "trl_sft.py"
    # As Python does for a script: its own folder comes first.
    sys.path[0] = str(script.parent)
    trainer = runpy.run_path(str(script), run_name="__main__")["trainer"]
    return {
        "steps": trainer.state.global_step,
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "eval_losses": [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry],
        "max_length": trainer.args.max_length,
        "saved": (out / dataset.name / "model.safetensors").is_file(),
        "train": learned(trainer, trainer.train_dataset),
        "validation": learned(trainer, trainer.eval_dataset),
    }


def main() -> None:
    """Run them one after the other: most of the time goes into importing torch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--template", type=Path, nargs=2)
    given = parser.parse_args()
    runs = [(None, given.out, given.datasets)]
    if given.template:
        template, dataset = given.template
        runs.append((template, given.out / "other", [dataset]))
    for template, out, datasets in runs:
        make_model(out / "model", template)
        for dataset in datasets:
            (out / f"{dataset.name}.json").write_text(json.dumps(run(dataset, out)))


if __name__ == "__main__":
    main()
