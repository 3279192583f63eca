"""Make a Hugging Face tokenizer of 151,669 entries from a package on PyPI, without the Hub.

`python -m tests.bench.tokenizer FOLDER` takes `qwen.tiktoken` (151,643 ranks) out of a pinned wheel of `dashscope` and
writes `tokenizer.json`, its config and a chat template that opens a thinking block.
"""

import argparse
import base64
import hashlib
import json
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

PACKAGE = "dashscope==2.0.2"
WHEEL_SHA256 = "0602d1800f7433bdb7953560986eaf5146454ed3988636c0a91963ba24e74258"
RANKS_FILE = "dashscope/resources/qwen.tiktoken"
SPECIAL_TOKENS = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>"),
    *("<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>"),
    *("<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>"),
    *("<think>", "</think>"),
]
"""Entries after the ranks, in the order of their ids."""
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# What the model thinks is rendered for the answer to the last question alone; the generation prompt opens the block.
_CHAT_TEMPLATE = r"""{%- set questions = messages | selectattr('role', 'equalto', 'user') | list %}
{%- set seen = namespace(questions=0) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {%- set seen.questions = seen.questions + 1 %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\n' }}
    {%- if message.role == 'assistant' and seen.questions == questions | length %}
        {{- '<think>\n' + (message.reasoning_content or '') | trim('\n') + '\n</think>\n\n' }}
    {%- endif %}
    {{- message.content | trim('\n') + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n<think>\n' }}
{%- endif %}
"""
_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "eos_token": "<|im_end|>",
    "pad_token": "<|endoftext|>",
    "model_max_length": 262144,
    "clean_up_tokenization_spaces": False,
}


def download(folder: Path) -> Path:
    """Fetch the wheel through pip, which uv brings along."""
    command = ["uv", "tool", "run", "pip", "download", "--quiet", "--no-deps", PACKAGE, "--dest", str(folder)]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def read_ranks(wheel: Path) -> dict[bytes, int]:
    """Rank of each token of `qwen.tiktoken`: a line is the token in base64 and its rank.

    Raises:
        ValueError: the wheel is another one.
    """
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise ValueError(f"{wheel}: expected the wheel of {PACKAGE} with sha256 {WHEEL_SHA256}, got {found}")
    with zipfile.ZipFile(wheel) as archive:
        lines = archive.read(RANKS_FILE).splitlines()
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}


def merge(token: bytes, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes]:
    """The two parts that make a token: what is left of its bytes when all merges of lower ranks are done."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        pairs = [ranks.get(left + right, len(ranks)) for left, right in pairwise(parts)]
        i = pairs.index(min(pairs))
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts[0], parts[1]


def byte_letters() -> dict[int, str]:
    """The letter that stands for each byte in a byte-level vocabulary: itself, or one from U+0100 on."""
    printing = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printing]
    return {byte: chr(byte) for byte in printing} | {byte: chr(0x100 + i) for i, byte in enumerate(others)}


def byte_level_tokenizer(ranks: Mapping[bytes, int], special_tokens: list[str]) -> Tokenizer:
    """The tokenizer of some ranks, which must count from 0 and hold every byte: one merge for each longer token."""
    letters = byte_letters()

    def spelled(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    def merges() -> Iterator[tuple[str, str]]:
        for token in sorted(ranks, key=ranks.__getitem__):
            if len(token) > 1:
                left, right = merge(token, ranks)
                yield spelled(left), spelled(right)

    tokenizer = Tokenizer(BPE({spelled(token): rank for token, rank in ranks.items()}, list(merges())))
    tokenizer.normalizer = normalizers.NFC()
    words = pre_tokenizers.Split(Regex(_WORDS), "isolated")
    spelling = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, spelling])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special_tokens)
    return tokenizer


def write(folder: Path, tokenizer: Tokenizer, config: Mapping[str, Any] = _CONFIG) -> None:
    """Write a tokenizer folder as `transformers` and the pipeline read it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(_CHAT_TEMPLATE, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tokenizer", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wheel", type=Path, help=f"the wheel of {PACKAGE}; without it, it is downloaded")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        wheel = flags.wheel or download(Path(scratch))
        write(flags.folder, byte_level_tokenizer(read_ranks(wheel), SPECIAL_TOKENS))


if __name__ == "__main__":
    main()
