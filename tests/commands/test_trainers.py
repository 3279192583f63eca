"""The trainer configurations of each dataset of the sample: run by TRL, rendered by prime-rl, read as others say."""

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from stages.commands.publishing.trainer_configs import trainer_configs
from stages.commands.publishing.training import Training, training_of
from stages.shared.hub.hub_folder import HubFolder
from tests.commands import trl_runs
from tests.imports import ROOT
from tests.prime_rl_renderer import learned
from tests.project_copy import ProjectCopy, environment

VARIANTS = ("filtered", "filtered-no-reasoning", "unique", "unique-no-reasoning")
SPLITS = ("train", "validation")
COPIES = ("prime_rl.toml", "axolotl.yaml", "llama_factory.yaml")
"""The configurations that read a copy of the dataset."""
SAMPLE = ROOT / "data" / "sample" / "tokenizer"
TRAINING = Training(4096, "data/sample/tokenizer", None, "reasoning_content", all_reasoned=True)
SOME_WITHOUT = "# Rows without reasoning, where there are any: "
MARKS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
"""Tokens of Qwen3 without which its renderer does not start."""


DOCUMENTED = {
    # The configuration reference of Axolotl 0.21.
    "axolotl": {
        *("base_model", "chat_template", "datasets", "test_datasets", "dataset_prepared_path", "sequence_len"),
        *("output_dir", "micro_batch_size", "gradient_accumulation_steps", "num_epochs", "evals_per_epoch"),
        *("learning_rate", "optimizer", "lr_scheduler", "bf16", "gradient_checkpointing"),
    },
    "axolotl dataset": {
        *("path", "ds_type", "split", "type", "field_messages", "roles_to_train", "message_field_training"),
        "train_on_eos",
    },
    # The arguments of LLaMA-Factory 0.9.5 and the table of `dataset_info.json` in its data/README.md.
    "llama factory": {
        *("model_name_or_path", "stage", "do_train", "finetuning_type", "dataset_dir", "dataset", "eval_dataset"),
        *("eval_strategy", "template", "enable_thinking", "mask_history", "cutoff_len", "output_dir"),
        *("per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "learning_rate"),
        *("lr_scheduler_type", "bf16", "logging_steps", "report_to"),
    },
    "llama factory tags": {"role_tag", "content_tag", "user_tag", "assistant_tag", "system_tag"},
}


def rows(dataset: Path, split: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(sorted((dataset / "data").glob(f"{split}-*"))).to_pylist()
    return found


def with_thought(message: dict[str, Any]) -> str:
    """Reasoning and content as the sample's template writes them."""
    thought = message.get("reasoning_content")
    before = f"<think>\n{thought.strip()}\n</think>\n\n" if thought else ""
    return f"{before}{message['content'].strip()}"


def recommended(project: Path) -> dict[str, int]:
    """The `seq_len` that `publish` hands to trainers, by variant."""
    metrics = json.loads((project / "data" / "metrics" / "recommend_seq_len.json").read_text())
    return {name: stats["recommended_seq_len"]["99"] for name, stats in metrics["variants"].items()}


def templates() -> Path:
    """The chat templates that TRL ships."""
    found = find_spec("trl")
    assert found
    assert found.origin
    return Path(found.origin).parent / "chat_templates"


def configure(dataset: Path, training: Training, splits: tuple[str, ...] = SPLITS) -> None:
    """Write the configurations beside a dataset, as `publish` does."""
    for path, text in trainer_configs(f"org/{dataset.name}", "v1", training, splits).items():
        (dataset / path).parent.mkdir(exist_ok=True)
        (dataset / path).write_text(text)


def convert(dataset: Path, tmp_path: Path) -> None:
    """Run the script that writes conversations."""
    env = environment() | {"HF_HOME": str(tmp_path / "hf")}
    subprocess.run([sys.executable, dataset / "trainers" / "messages.py"], check=True, capture_output=True, env=env)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each variant as built from the sample, with its configurations."""
    project = ProjectCopy(tmp_path_factory.mktemp("built") / "project")
    project.dvc("repro", "build", "recommend_seq_len")
    folders = {name: project.folder / "data" / "datasets" / name for name in VARIANTS}
    for name, folder in folders.items():
        training = training_of(project.folder, name)
        assert training
        configure(folder, training)
    return folders


@pytest.fixture(scope="module")
def trained(datasets: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What TRL told of each variant."""
    out = tmp_path_factory.mktemp("trained")
    words = [sys.executable, "-m", "tests.commands.trl_runs", str(out), *map(str, datasets.values())]
    words += ["--template", str(templates() / "qwen3.jinja"), str(datasets["filtered"])]
    env = environment() | {"HF_HOME": str(out / "hf"), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return {name: json.loads((out / f"{name}.json").read_text()) for name in (*datasets, "other/filtered")}


@pytest.mark.parametrize("variant", VARIANTS)
def test_trl_learns_reasoning_and_answer_and_nothing_else(
    datasets: dict[str, Path], trained: dict[str, dict[str, Any]], variant: str
) -> None:
    expected = {
        split: [f"{with_thought(row['completion'][0])}<|im_end|>\n" for row in rows(datasets[variant], split)]
        for split in SPLITS
    }
    reasoned = sum("<think>" in text for text in expected["train"])

    found = trained[variant]

    assert {split: found[split] for split in SPLITS} == expected
    assert (reasoned > 0) == ("no-reasoning" not in variant)
    assert found["steps"] == len(found["losses"]) == trl_runs.MAX_STEPS
    assert all(0 < loss < 20 for loss in [*found["losses"], *found["eval_losses"]])
    assert len(found["eval_losses"]) == 1
    assert found["saved"]
    assert found["max_length"] == recommended(datasets[variant].parents[2])[variant]


def test_trl_learns_no_thought_of_a_model_that_thinks_by_switch_where_a_row_has_none(
    datasets: dict[str, Path], trained: dict[str, dict[str, Any]]
) -> None:
    """With the chat template of Qwen3, which closes an empty thought in the prompt when it is told not to think."""
    published = [row["completion"][0] for row in rows(datasets["filtered"], "train")]

    found = trained["other/filtered"]

    assert found["train"] == [f"{with_thought(message)}<|im_end|>\n" for message in published]
    assert {bool(message["reasoning_content"]) for message in published} == {True, False}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """The sample's under the name of a Qwen3, as a user of prime-rl would load that of the model."""
    from transformers import AutoTokenizer  # noqa: PLC0415  # takes seconds

    found = AutoTokenizer.from_pretrained(SAMPLE)
    found.add_tokens(list(MARKS))
    found.name_or_path = "Qwen/Qwen3-8B"
    return found


def renderer_of(config: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = tomllib.loads(config)["renderer"]
    return found


@pytest.mark.parametrize("variant", ["filtered", "unique"])
def test_prime_rl_learns_reasoning_and_answer_and_an_empty_thought_where_it_says_so(
    datasets: dict[str, Path], tokenizer: Any, variant: str
) -> None:
    config = (datasets[variant] / "trainers" / "prime_rl.toml").read_text()
    assert SOME_WITHOUT in config

    for row in [row for split in SPLITS for row in rows(datasets[variant], split)]:
        message = row["completion"][0]
        thought = (message["reasoning_content"] or "").strip("\n")
        text = f"<think>\n{thought}\n</think>\n\n{message['content']}<|im_end|>"
        assert learned(renderer_of(config), tokenizer, row) == text


@pytest.mark.parametrize("variant", ["filtered-no-reasoning", "unique-no-reasoning"])
def test_prime_rl_learns_no_thought_of_answers_alone(datasets: dict[str, Path], tokenizer: Any, variant: str) -> None:
    config = (datasets[variant] / "trainers" / "prime_rl.toml").read_text()

    for row in [row for split in SPLITS for row in rows(datasets[variant], split)]:
        text = f"<|im_start|>assistant\n{row['completion'][0]['content']}<|im_end|>\n"
        assert learned(renderer_of(config), tokenizer, row) == text


def test_the_renderer_of_prime_rl_is_one_that_keeps_the_reasoning(tokenizer: Any) -> None:
    """And with rows of answers alone, one that adds nothing to the chat template; Qwen3's adds the thought itself."""
    question = [{"role": "user", "content": "Rewrite it."}]
    answer = {"role": "assistant", "content": "Done."}
    opened, closed = "<|im_start|>assistant\n", "<|im_end|>\n"

    def told(key: str | None, message: Mapping[str, str], template: str | None = None) -> str:
        training = replace(TRAINING, reasoning_key=key)
        config = trainer_configs("org/kernels", "v1", training, SPLITS)["trainers/prime_rl.toml"]
        used = copy(tokenizer)
        used.chat_template = template or tokenizer.chat_template
        return learned(renderer_of(config), used, {"prompt": question, "completion": [message]})

    whole = "<think>\nOne grid.\n</think>\n\nDone."
    musing = (SAMPLE / "chat_template.jinja").read_text().replace("reasoning_content", "musing")
    qwen3 = (templates() / "qwen3.jinja").read_text()
    assert told("reasoning_content", answer | {"reasoning_content": "One grid."}) == f"{whole}<|im_end|>"
    assert told("inline", answer | {"content": whole}) == f"{whole}<|im_end|>"
    assert told("musing", answer | {"musing": "One grid."}, musing) == opened + whole + closed
    assert told(None, answer) == f"{opened}Done.{closed}"
    assert told(None, answer, qwen3) == f"{opened}<think>\n\n</think>\n\nDone.{closed}"


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_trainer_gets_the_recommended_length(datasets: dict[str, Path], variant: str) -> None:
    trainers, expected = datasets[variant] / "trainers", recommended(datasets[variant].parents[2])[variant]
    prime_rl = tomllib.loads((trainers / "prime_rl.toml").read_text())
    axolotl = yaml.safe_load((trainers / "axolotl.yaml").read_text())
    llama_factory = yaml.safe_load((trainers / "llama_factory.yaml").read_text())

    assert f"    max_length={expected},\n" in (trainers / "trl_sft.py").read_text()
    assert prime_rl["data"]["seq_len"] == prime_rl["val"]["data"]["seq_len"] == expected
    assert axolotl["sequence_len"] == llama_factory["cutoff_len"] == expected


@pytest.mark.parametrize("variant", ["filtered", "unique-no-reasoning"])
def test_the_conversations_are_what_axolotl_and_llama_factory_are_told_to_read(
    datasets: dict[str, Path], tmp_path: Path, variant: str
) -> None:
    """Where the configurations point, in the columns and keys that they name; nothing but the completion is learned."""
    folder = tmp_path / "dataset"
    shutil.copytree(datasets[variant], folder)
    convert(folder, tmp_path)
    axolotl = yaml.safe_load((folder / "trainers" / "axolotl.yaml").read_text())
    llama_factory = yaml.safe_load((folder / "trainers" / "llama_factory.yaml").read_text())
    sources = dict(zip(SPLITS, (axolotl["datasets"][0], axolotl["test_datasets"][0]), strict=True))
    described = json.loads((tmp_path / llama_factory["dataset_dir"] / "dataset_info.json").read_text())
    assert [llama_factory["dataset"], llama_factory["eval_dataset"]] == list(described) == list(SPLITS)

    for split, source in sources.items():
        info, published = described[split], rows(folder, split)
        file = tmp_path / llama_factory["dataset_dir"] / info["file_name"]
        assert file == tmp_path / source["path"]
        read = [json.loads(line) for line in file.read_text().splitlines()]
        conversations = [row[source["field_messages"]] for row in read]
        tags = info["tags"]

        assert [row[info["columns"]["messages"]] for row in read] == conversations
        assert [[turn[source["message_field_training"]] for turn in turns] for turns in conversations] == [
            [False] * len(row["prompt"]) + [True] * len(row["completion"]) for row in published
        ]
        assert [[turn[tags["role_tag"]] for turn in turns] for turns in conversations] == [
            [tags["user_tag"], tags["assistant_tag"]]
        ] * len(published)
        # LLaMA-Factory reads a single text, Axolotl the keys that the chat template knows.
        assert [turns[-1][tags["content_tag"]].split("</think>")[-1].strip() for turns in conversations] == [
            row["completion"][-1]["content"].strip() for row in published
        ]
        for turns, row in zip(conversations, published, strict=True):
            message = {key: value for key, value in row["completion"][-1].items() if value is not None}
            assert {key: turns[-1][key] for key in message} == message
            thought = message.get("reasoning_content")
            before = f"<think>\n{thought}\n</think>\n\n" if thought else ""
            assert turns[-1][tags["content_tag"]] == before + message["content"]
            assert turns[0][tags["content_tag"]] == row["prompt"][0]["content"]


def test_earlier_turns_are_not_learned(tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    (folder / "data").mkdir(parents=True)
    prompt = [{"role": role, "content": role} for role in ("system", "user", "assistant", "user")]
    completion = [{"role": "assistant", "content": "answer", "thinking": "thought"}]
    pq.write_table(
        pa.table({"prompt": [prompt], "completion": [completion]}), folder / "data" / "train-00000-of-00001.parquet"
    )
    configure(folder, replace(TRAINING, reasoning_key="thinking"), ("train",))

    convert(folder, tmp_path)

    read = json.loads((folder / "trainers" / "train.jsonl").read_text())["messages"]
    assert read[:-1] == [{**turn, "full_text": turn["content"], "train": False} for turn in prompt]
    assert read[-1] == {**completion[0], "full_text": "<think>\nthought\n</think>\n\nanswer", "train": True}
    assert yaml.safe_load((folder / "trainers" / "llama_factory.yaml").read_text())["mask_history"] is True
    source = yaml.safe_load((folder / "trainers" / "axolotl.yaml").read_text())["datasets"][0]
    assert (source["roles_to_train"], source["message_field_training"]) == ([], "train")


def test_every_key_is_one_that_its_trainer_documents() -> None:
    configs = trainer_configs("org/kernels", "v1", TRAINING, SPLITS)
    axolotl = yaml.safe_load(configs["trainers/axolotl.yaml"])

    assert tomllib.loads(configs["trainers/prime_rl.toml"]) == {
        "max_steps": 100,
        "model": {"name": "Qwen/Qwen3-8B"},
        "renderer": {"name": "auto"},
        "data": {"name": "dataset", "splits": ["train"], "seq_len": 4096, "batch_size": 32},
        "optim": {"lr": 1e-5},
        "ckpt": {},
        "val": {
            "interval": 50,
            "data": {"name": "dataset", "splits": ["validation"], "seq_len": 4096, "batch_size": 32},
        },
    }
    assert axolotl.keys() <= DOCUMENTED["axolotl"]
    assert all(source.keys() <= DOCUMENTED["axolotl dataset"] for source in axolotl["datasets"])
    assert yaml.safe_load(configs["trainers/llama_factory.yaml"]).keys() <= DOCUMENTED["llama factory"]
    for info in json.loads(configs["trainers/dataset_info.json"]).values():
        assert info.keys() == {"file_name", "formatting", "columns", "tags"}
        assert info["formatting"] == "sharegpt"
        assert info["tags"].keys() <= DOCUMENTED["llama factory tags"]


def test_a_dataset_without_validation_is_configured_without_and_one_without_training_not_at_all() -> None:
    configs = trainer_configs("org/kernels", "v1", TRAINING, {"train": 3})

    assert {path.removeprefix("trainers/") for path in configs} == {
        "trl_sft.py",
        "prime_rl.toml",
        "messages.py",
        "axolotl.yaml",
        "llama_factory.yaml",
        "dataset_info.json",
    }
    assert "val" not in tomllib.loads(configs["trainers/prime_rl.toml"])
    assert not {"test_datasets", "evals_per_epoch"} & yaml.safe_load(configs["trainers/axolotl.yaml"]).keys()
    assert not {"eval_dataset", "eval_strategy"} & yaml.safe_load(configs["trainers/llama_factory.yaml"]).keys()
    assert list(json.loads(configs["trainers/dataset_info.json"])) == ["train"]
    assert all("validation" not in configs[f"trainers/{name}"] for name in ("prime_rl.toml", "axolotl.yaml"))
    assert trainer_configs("org/kernels", "v1", TRAINING, ["validation"]) == {}


def test_every_configuration_says_where_its_dataset_comes_from() -> None:
    configs = trainer_configs("org/kernels", "v1.2", TRAINING, SPLITS)

    assert 'load_dataset(os.environ.get("DATASET", "org/kernels"), revision="v1.2")' in configs["trainers/trl_sft.py"]
    fetch = "# hf download org/kernels --repo-type dataset --revision v1.2 --local-dir dataset\n"
    assert all(fetch in configs[f"trainers/{name}"] for name in COPIES)


def test_a_configuration_of_a_folder_asks_no_hub() -> None:
    """`./` keeps `load_dataset` from looking there for `kernels/v1` where the folder is not."""
    configs = trainer_configs("./kernels/v1", None, TRAINING, SPLITS)

    assert 'load_dataset(os.environ.get("DATASET", "./kernels/v1"))' in configs["trainers/trl_sft.py"]
    assert all("# cp -r ./kernels/v1 dataset\n" in configs[f"trainers/{name}"] for name in COPIES)
    assert all("hf download" not in text and "revision" not in text for text in configs.values())


def test_every_configuration_says_for_which_tokenizer_its_length_holds_and_that_the_model_is_an_example() -> None:
    counted = "# The length was counted with the tokenizer data/sample/tokenizer.\n# The model is an example: "
    configs = trainer_configs("org/kernels", "v1", TRAINING, SPLITS)

    for name in ("trl_sft.py", *COPIES):
        assert counted in configs[f"trainers/{name}"]
        assert "Qwen/Qwen3-8B" in configs[f"trainers/{name}"]


def test_a_tokenizer_from_the_hub_names_the_model(tmp_path: Path) -> None:
    """Under its own name; one of an absolute path is told by its last part."""
    knobs = yaml.safe_load((ROOT / "params.yaml").read_text())
    folder = tmp_path / "data" / "hub" / "tokenizer"
    folder.mkdir(parents=True)
    HubFolder("org/model-7b", "model", "main", "c" * 40, None, {}).write(folder)
    (tmp_path / "data" / "metrics").mkdir()
    lengths = {"variants": {"unique": {"recommended_seq_len": {"99": 512}}, "empty": {"recommended_seq_len": {}}}}
    (tmp_path / "data" / "metrics" / "recommend_seq_len.json").write_text(json.dumps(lengths))

    def made(tokenizer: str) -> Training | None:
        knobs["measure_lengths"]["tokenizer"] = tokenizer
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(knobs))
        return training_of(tmp_path, "unique")

    told = f"(org/model-7b at {'c' * 40})"
    found = made("data/hub/tokenizer")
    assert found == Training(512, f"data/hub/tokenizer {told}", "org/model-7b", "reasoning_content", all_reasoned=False)
    assert made(str(folder)) == replace(found, tokenizer=f"tokenizer {told}")
    assert made("elsewhere/tokenizer") == replace(found, tokenizer="elsewhere/tokenizer", model=None)
    assert [training_of(tmp_path, variant) for variant in ("empty", "evals")] == [None, None]
    configs = trainer_configs("org/kernels", "v1", found, SPLITS)
    for name in ("trl_sft.py", *COPIES):
        assert (
            f"# The length was counted with the tokenizer data/hub/tokenizer {told}.\n" in configs[f"trainers/{name}"]
        )
        assert "org/model-7b" in configs[f"trainers/{name}"]
        assert "example" not in configs[f"trainers/{name}"]
        assert "Qwen/Qwen3-8B" not in configs[f"trainers/{name}"].replace("as those of Qwen3-8B", "")
