"""Render conversations through a tokenizer's chat template, as trainers do, with jinja2 alone.

The environment is that of `transformers.PreTrainedTokenizerBase.apply_chat_template` (5.x) less its conveniences:
transformers copies `reasoning` and `thinking` to `reasoning_content` on the fly, trainers do not.
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

# Templates that print today's date must not change the token counts of tomorrow.
_DATE = dt.datetime(2025, 1, 1)  # noqa: DTZ001  # a fixed date has no time zone
_NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

Message = Mapping[str, Any]


class _Generation(jinja2.ext.Extension):
    """`{% generation %}` marks what a trainer learns; for the text it does nothing."""

    tags = {"generation"}  # noqa: RUF012  # declared so by jinja2

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        # What is set inside does not leave the block.
        return jinja2.nodes.Scope(body).set_lineno(line)


class ChatTemplate:
    """The chat template of a tokenizer folder, or of a file."""

    def __init__(self, path: Path) -> None:
        """Read a `.jinja` file, or the template of a folder: `chat_template.jinja`, or in `tokenizer_config.json`.

        A file alone has no tokenizer: the special tokens that it names are empty.

        Raises:
            ValueError: there is no template, or one that jinja2 does not accept.
        """
        if path.suffix == ".jinja":
            source, self._tokens = _text(path), dict.fromkeys(_NAMED_TOKENS, "")
        else:
            config = _config(path)
            self._tokens = {name: _token(config[name]) for name in _NAMED_TOKENS if config.get(name)}
            file = path / "chat_template.jinja"
            source = _text(file) if file.exists() else _default(config.get("chat_template"))
        if not isinstance(source, str):
            raise ValueError(f"{path}: expected a chat template (chat_template.jinja, or in tokenizer_config.json)")
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _DATE.strftime
        self._path = path
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise ValueError(f"{path}: the chat template is not valid: {error}") from None

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        """The text of a conversation.

        Raises:
            ValueError: the template refuses the conversation.
        """
        try:
            return self._template.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._tokens,
            )
        except (jinja2.TemplateError, TypeError) as error:
            # A template that adds a text and a missing one ends in TypeError.
            raise ValueError(f"{self._path}: the chat template refuses a conversation: {error}") from None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"{file}: no such file: expected a chat template") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected UTF-8: {error.reason} at byte {error.start}") from None


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "tokenizer_config.json"
    if not file.exists():
        raise ValueError(f"{file}: no such file: expected the folder of a Hugging Face tokenizer")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}: not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{file}: expected a JSON object")
    return config


def _default(template: Any) -> Any:
    if isinstance(template, list):
        return {item["name"]: item["template"] for item in template}.get("default")
    return template


def _token(value: Any) -> str:
    return str(value["content"] if isinstance(value, dict) else value)


def _tojson(value: Any, **options: Any) -> str:
    return json.dumps(value, **{"ensure_ascii": False, **options})


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
