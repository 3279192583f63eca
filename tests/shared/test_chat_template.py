import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from stages.shared.chat_template import ChatTemplate

SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "tokenizer"
QUESTION = {"role": "user", "content": " Write <b>it</b> & 'run' \"it\"\n\u00e9\U0001f600\u202e "}
THOUGHT = {"role": "assistant", "content": "\n<answer>\n\tx\n</answer>", "reasoning_content": "Think {{ first }}.\n"}
PLAIN = {"role": "assistant", "content": "Done."}
SYSTEM = {"role": "system", "content": "Be brief."}
CONVERSATIONS = [
    [QUESTION],
    [QUESTION, THOUGHT],
    [SYSTEM, QUESTION, PLAIN],
    [SYSTEM, QUESTION, THOUGHT, QUESTION, {**THOUGHT, "content": ""}],
    [],
]
TEMPLATES = {
    "the sample's": (SAMPLE / "chat_template.jinja").read_text(),
    "white space of blocks": """
    {% for m in messages %}
        {% if loop.first %}
start
        {%- endif %}
        {{ m.role }}:   {{- m.content -}}   |
    {% endfor %}

    end""",
    "loop controls": """{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ m.content }}
{% if m.role == 'assistant' %}{% break %}{% endif %}{% endfor %}{{ '?' if add_generation_prompt }}""",
    "generation": """{% for m in messages %}{% if m.role == 'assistant' %}
    {% generation %}
    {% set said = m.content | trim %}
[{{ said }}]
    {% endgeneration %}
    {% generation %}{% endgeneration %}
({{ said is defined }}){% else %}{{ m.content }}{% endif %}{% endfor %}""",
    "tojson": """{{ messages | map(attribute='content') | list | tojson }}
{% for m in messages %}{{ {'r': m.role, 'c': m.content, 't': m.reasoning_content is defined} | tojson(indent=2) }}
{{ {'z': 1, 'a': m.content} | tojson(ensure_ascii=true, separators=(',', ':'), sort_keys=true) }}{% endfor %}""",
    "namespace": """{% set ns = namespace(last=-1, text='') %}{% for m in messages[::-1] %}
{% if m.reasoning_content %}{% set ns.last = loop.index0 %}{% set ns.text = ns.text + m.reasoning_content %}{% endif %}
{% endfor %}{{ ns.last }}{{ ns.text }}{{ dict(a=1).a }}""",
    "macros and special tokens": """{% macro turn(m) %}{{ bos_token }}{{ m.role | upper }}
{{ m.content.split('</b>')[-1].lstrip() }}{{ eos_token + pad_token }}{% endmacro %}
{% for m in messages %}{{ turn(m) }}{% endfor %}{{ unk_token is defined }}
{{ additional_special_tokens is defined }}""",
    "no tools and documents": "{{ tools is none }}{{ documents is none }}{{ tools is defined }}{{ enable_thinking }}",
    "the date": "{{ strftime_now('%d %b %Y, %H:%M') }}",
}


def folder(path: Path, template: str | None, **config: Any) -> Path:
    path.mkdir(exist_ok=True)
    shutil.copy(SAMPLE / "tokenizer.json", path)
    given = {**json.loads((SAMPLE / "tokenizer_config.json").read_text()), **config}
    (path / "tokenizer_config.json").write_text(json.dumps(given))
    if template is not None:
        (path / "chat_template.jinja").write_text(template)
    return path


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_texts_are_those_of_transformers(tmp_path: Path, template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoTokenizer  # noqa: PLC0415  # takes seconds
    from transformers.utils import chat_template_utils  # noqa: PLC0415

    class NewYear(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> "NewYear":
            return cls(2025, 1, 1, tzinfo=tz)

    monkeypatch.setattr(chat_template_utils, "datetime", NewYear)
    bos = {"content": "<|bos|>", "__type": "AddedToken", "special": True}
    path = folder(tmp_path / "tokenizer", template, bos_token=bos)
    tokenizer = AutoTokenizer.from_pretrained(path)
    ours = ChatTemplate(path)

    for messages in CONVERSATIONS[:-1]:
        for prompt in (False, True):
            expected = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
            assert ours.render(messages, add_generation_prompt=prompt) == expected


@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_the_sample_template_in_full(messages: list[dict[str, str]]) -> None:
    expected = ""
    for message in messages:
        thought = message.get("reasoning_content")
        think = f"<think>\n{thought.strip()}\n</think>\n\n" if thought else ""
        expected += f"<|im_start|>{message['role']}\n{think}{message['content'].strip()}<|im_end|>\n"

    assert ChatTemplate(SAMPLE).render(messages) == expected
    assert ChatTemplate(SAMPLE).render(messages, add_generation_prompt=True) == expected + "<|im_start|>assistant\n"


@pytest.mark.parametrize("key", ["reasoning", "thinking"])
def test_reasoning_under_another_key_is_not_moved(key: str) -> None:
    """A trainer that renders with the template alone would not see it, so neither must the counts."""
    template = ChatTemplate(SAMPLE)

    assert template.render([QUESTION, {**PLAIN, key: "Think."}]) == template.render([QUESTION, PLAIN])


@pytest.mark.parametrize(
    "template", ["{{ m.x }}", [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "{{ m.x }}"}]]
)
def test_the_template_may_stand_in_the_config(tmp_path: Path, template: object) -> None:
    path = folder(tmp_path / "tokenizer", None, chat_template=template)

    with pytest.raises(ValueError, match="the chat template refuses a conversation: 'm' is undefined"):
        ChatTemplate(path).render([QUESTION])


def test_the_file_comes_before_the_config(tmp_path: Path) -> None:
    assert ChatTemplate(folder(tmp_path / "tokenizer", "file", chat_template="config")).render([]) == "file"


def test_a_file_alone_has_empty_special_tokens(tmp_path: Path) -> None:
    file = tmp_path / "some.jinja"
    file.write_text("{{ bos_token + messages[0].content + eos_token }}{{ pad_token is defined }}")

    assert ChatTemplate(file).render([PLAIN]) == "Done.True"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[0].content + messages[0].missing.strip() }}", "'dict object' has no attribute 'missing'"),
        ("{{ 'a' + none }}", 'can only concatenate str (not "NoneType") to str'),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ messages.__class__.mro() }}", "unsafe"),
        ("{{ 1 / 0 }}", "ZeroDivisionError: division by zero"),
        ("{{ '%c' | format(-5) }}", "OverflowError: "),
        ("{{ 'abc'.index('z') }}", "ValueError: substring not found"),
        ("{{ 'abc' | dictsort }}", "AttributeError: "),
        ("{{ {}.popitem() if false else '{x}'.format() }}", "KeyError: 'x'"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError: "),
        ("{{ 'a' * 10**15 }}", "MemoryError"),
    ],
)
def test_a_conversation_that_the_template_refuses(tmp_path: Path, template: str, why: str) -> None:
    path = folder(tmp_path / "tokenizer", template)

    with pytest.raises(ValueError, match=rf"^{path}: the chat template refuses a conversation: ") as caught:
        ChatTemplate(path).render([QUESTION])
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% for m in messages %}" * 25 + "{% endfor %}" * 25, "SyntaxError: too many statically nested blocks"),
        ("{{ " + "(" * 2000 + "1" + ")" * 2000 + " }}", "RecursionError: maximum recursion depth exceeded"),
        ("{{ 10 ** 5000 }}", "ValueError: Exceeds the limit"),
    ],
)
def test_a_template_that_does_not_compile(tmp_path: Path, template: str, why: str) -> None:
    path = folder(tmp_path / "tokenizer", template)

    with pytest.raises(ValueError, match=rf"^{path}: the chat template is not valid: {why}"):
        ChatTemplate(path)


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    config = tmp_path / "tokenizer_config.json"
    with pytest.raises(ValueError, match=rf"^{config}: no such file: expected the folder of a Hugging Face tokenizer$"):
        ChatTemplate(tmp_path)
    config.write_text("{")
    with pytest.raises(ValueError, match=rf"^{config}: not valid JSON: "):
        ChatTemplate(tmp_path)
    for given in (None, [], 1, ["default"], [{"name": "default"}], [{"name": "tool_use", "template": ""}]):
        config.write_text(json.dumps({"chat_template": given}))
        with pytest.raises(ValueError, match=rf"^{tmp_path}: expected a chat template"):
            ChatTemplate(tmp_path)
    for token in ({"foo": 1}, 1, ["<s>"]):
        config.write_text(json.dumps({"chat_template": "", "bos_token": token}))
        with pytest.raises(ValueError, match=rf"^{config}: bos_token: expected a text, or an object with content$"):
            ChatTemplate(tmp_path)
    config.write_bytes(b'{"chat_template": "caf\xe9"}')
    with pytest.raises(ValueError, match=rf"^{config}: expected UTF-8: invalid continuation byte at byte 22$"):
        ChatTemplate(tmp_path)
    config.write_text("[" * 100_000)
    with pytest.raises(ValueError, match=rf"^{config}: not valid JSON: "):
        ChatTemplate(tmp_path)
    config.write_text(json.dumps({"chat_template": "{% for %}"}))
    with pytest.raises(ValueError, match=rf"^{tmp_path}: the chat template is not valid: "):
        ChatTemplate(tmp_path)
    config.write_text("[]")
    with pytest.raises(ValueError, match=rf"^{config}: expected a JSON object$"):
        ChatTemplate(tmp_path)
    config.write_text("{}")
    file = tmp_path / "chat_template.jinja"
    with pytest.raises(ValueError, match=rf"^{file}: no such file: expected a chat template$"):
        ChatTemplate(file)
    file.write_bytes(b"\xff")
    for path in (file, tmp_path):
        with pytest.raises(ValueError, match=rf"^{file}: expected UTF-8: invalid start byte at byte 0$"):
            ChatTemplate(path)
