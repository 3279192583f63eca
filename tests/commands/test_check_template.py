"""The gate for named chat templates, on those that the installed TRL ships, by the real command."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from stages.commands.check_template import KEYS, Finding, findings, main
from stages.shared.completion import CompletionParams
from tests.imports import ROOT

SAMPLE = ROOT / "data" / "sample" / "tokenizer"
# As Kimi-K2-Thinking does: an answer without tool calls is history, and history thinks nothing.
KIMI = """\
{%- for message in messages -%}
    <|im_{{ message.role }}|>{{ message.role }}<|im_middle|>
    {%- if message.role == 'assistant' -%}<think></think>{%- endif -%}
    {{ message.content }}<|im_end|>
{%- endfor -%}
{%- if add_generation_prompt -%}<|im_assistant|>assistant<|im_middle|>{%- endif -%}
"""
DROPPED = ("missing_reasoning", "missing_reasoning", "dropped", "ok")
UNUSABLE = ("prompt_changes", "prompt_changes", "dropped", "ok")
TABLE = {
    "qwen3": {
        "reasoning_content": ("ok", "ok", "dropped", "ok"),
        "reasoning": DROPPED,
        "thinking": DROPPED,
        "inline": ("ok", "ok", "dropped", "ok"),
    },
    "qwen3_instruct_2507": {
        "reasoning_content": DROPPED,
        "reasoning": DROPPED,
        "thinking": DROPPED,
        "inline": ("ok", "ok", "kept", "ok"),
    },
    "qwen3_8": {
        "reasoning_content": ("ok", "ok", "kept", "ok"),
        "reasoning": DROPPED,
        "thinking": DROPPED,
        "inline": ("empty_thought", "empty_thought", "kept", "ok"),
    },
    "glm4moe": {
        "reasoning_content": ("ok", "ok", "dropped", "ok"),
        "reasoning": DROPPED,
        "thinking": DROPPED,
        "inline": ("ok", "ok", "dropped", "ok"),
    },
    "kimi_k2": {
        "reasoning_content": DROPPED,
        "reasoning": DROPPED,
        "thinking": DROPPED,
        "inline": ("empty_thought", "empty_thought", "kept", "ok"),
    },
    "deepseekv3": dict.fromkeys(KEYS, UNUSABLE),
    "deepseek_r1_distill_training": {
        "reasoning_content": UNUSABLE,
        "reasoning": UNUSABLE,
        "thinking": UNUSABLE,
        "inline": ("ok", "ok", "kept", "ok"),
    },
    "gptoss": {
        "reasoning_content": DROPPED,
        "reasoning": DROPPED,
        "thinking": ("ok", "ok", "dropped", "refused"),
        "inline": ("ok", "ok", "kept", "ok"),
    },
}
ADVICE = {
    "qwen3": "completion.reasoning_key: reasoning_content",
    "qwen3_instruct_2507": "completion.reasoning_key: inline",
    "qwen3_8": "completion.reasoning_key: reasoning_content",
    "glm4moe": "completion.reasoning_key: reasoning_content",
    "kimi_k2": "no key works; train with another template of this model",
    "deepseekv3": "no key works; train with another template of this model",
    "deepseek_r1_distill_training": "completion.reasoning_key: inline",
    "gptoss": "completion.reasoning_key: thinking, with select.require_reasoning: true",
}
NONE_WORKS = {"kimi_k2", "deepseekv3"}


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """A folder with the templates as files."""
    found = find_spec("trl")
    assert found is not None
    assert found.origin is not None
    for name in TABLE.keys() - {"kimi_k2"}:
        shutil.copy(Path(found.origin).parent / "chat_templates" / f"{name}.jinja", tmp_path)
    (tmp_path / "kimi_k2.jinja").write_text(KIMI)
    return tmp_path


def check(folder: Path, names: list[str]) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "stages", "check_template", *names]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_each_family_is_told_what_becomes_of_its_reasoning(templates: Path) -> None:
    files = [f"{name}.jinja" for name in TABLE]
    heading = "| template | reasoning_key | one turn | later turn | earlier reasoning | row without reasoning |"
    rows = [
        "| " + " | ".join([f"{name}.jinja", key, *cells]) + " |"
        for name, by_key in TABLE.items()
        for key, cells in by_key.items()
    ]
    advice = [f"{name}.jinja: {text}" for name, text in ADVICE.items()]

    done = check(templates, files)

    assert done.stdout.splitlines() == [heading, "| --- | --- | --- | --- | --- | --- |", *rows, "", *advice]
    assert (done.returncode, done.stderr) == (1, "")


def test_it_succeeds_where_every_template_has_a_key(templates: Path) -> None:
    names = [f"{name}.jinja" for name in TABLE if name not in NONE_WORKS]

    assert check(templates, [*names, str(SAMPLE)]).returncode == 0
    assert check(templates, [*names, "kimi_k2.jinja"]).returncode == 1


def test_a_tokenizer_folder_is_read_with_its_tokens() -> None:
    assert findings(SAMPLE, ("reasoning_content", "reasoning")) == [
        Finding(SAMPLE, "reasoning_content", "ok", "ok", "kept", "ok"),
        Finding(SAMPLE, "reasoning", *DROPPED),
    ]


def test_a_key_of_ones_own_can_be_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "own.jinja"
    thought = "{% if m.musing %}({{ m.musing }}){% endif %}"
    file.write_text("{% for m in messages %}[{{ m.role }}:" + thought + "{{ m.content }}]{% endfor %}")

    main([str(file), "--key", "musing"])

    table, advice = capsys.readouterr().out.split("\n\n")
    assert [line.split(" | ")[1] for line in table.splitlines()[2:]] == [*KEYS[:3], "musing", "inline"]
    assert f"| {file} | musing | ok | ok | kept | ok |" in table.splitlines()
    assert advice == f"{file}: completion.reasoning_key: musing\n"


def test_a_template_that_works_for_one_turn_alone_is_said_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "short.jinja"
    file.write_text(
        "{% if messages|length > 2 %}{{ raise_exception('too long') }}{% endif %}"
        "{% for m in messages %}{{ m.role }}: {{ m.reasoning_content|default('', true) }}{{ m.content }}\n{% endfor %}"
    )

    main([str(file)])

    told = capsys.readouterr().out.splitlines()
    assert told[2] == f"| {file} | reasoning_content | ok | refused | refused | ok |"
    assert (
        told[-1] == f"{file}: completion.reasoning_key: reasoning_content, for rows of one turn (later turns: refused)"
    )


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("none.jinja", None, "no such file: expected a chat template"),
        ("none", None, "tokenizer_config.json: no such file: expected the folder of a Hugging Face tokenizer"),
        ("latin.jinja", b"caf\xe9", "expected UTF-8: unexpected end of data at byte 3"),
        ("bad.jinja", b"{% for %}", "the chat template is not valid: "),
    ],
)
def test_a_path_without_a_template_ends_in_one_line(tmp_path: Path, name: str, content: bytes | None, why: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    done = check(tmp_path, [name])

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"check_template: {name}")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_refusal_is_told_once_and_not_for_each_key(tmp_path: Path) -> None:
    (tmp_path / "none.jinja").write_text("{{ 1 / 0 }}")

    done = check(tmp_path, ["none.jinja"])

    assert done.returncode == 1
    assert done.stderr == (
        "check_template: none.jinja: the chat template refuses a conversation: ZeroDivisionError: division by zero\n"
    )
    assert done.stdout.count("| refused | refused | refused | refused |") == len(KEYS)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("reasoningContent", "String should match pattern '^[a-z_]+$'"),
        ("content", "Key should be another than role and content"),
        ("role", "Key should be another than role and content"),
    ],
)
def test_only_keys_that_the_knob_takes_are_tried(key: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'--key: {why} (got {key!r})')}$"):
        main([str(SAMPLE), "--key", key])
    with pytest.raises(ValueError, match=re.escape(why)):
        CompletionParams(reasoning_key=key)
