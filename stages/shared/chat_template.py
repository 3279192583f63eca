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
_FAILURES = (
    *(jinja2.TemplateError, TypeError, ValueError, AttributeError, ArithmeticError, LookupError, RuntimeError),
    *(MemoryError, SyntaxError),
)
"""What a template may end in: it is a program, and is compiled to Python."""
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
            self._tokens = {name: _token(path, name, config[name]) for name in _NAMED_TOKENS if config.get(name)}
            file = path / "chat_template.jinja"
            source = _text(file) if file.exists() else _default(path, config.get("chat_template"))
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _DATE.strftime
        self._path = path
        try:
            self._template = environment.from_string(source)
        except _FAILURES as error:
            raise ValueError(f"{path}: the chat template is not valid: {_told(error)}") from None

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        """The text of a conversation. A template that never ends is not stopped.

        Raises:
            ValueError: the template refuses the conversation, or fails.
        """
        try:
            return self._template.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._tokens,
            )
        except _FAILURES as error:
            raise ValueError(f"{self._path}: the chat template refuses a conversation: {_told(error)}") from None


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
        config = json.loads(_text(file))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{file}: not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{file}: expected a JSON object")
    return config


def _default(folder: Path, given: Any) -> str:
    """The template itself, or of a list of named ones the one called `default`."""
    named = [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
    found = next((item.get("template") for item in named if item.get("name") == "default"), None) if named else given
    if not isinstance(found, str):
        raise ValueError(
            f"{folder}: expected a chat template: chat_template.jinja, or chat_template in tokenizer_config.json, "
            "a text or a list of objects with name and template, one of them called default"
        )
    return found


def _token(folder: Path, name: str, given: Any) -> str:
    text = given.get("content") if isinstance(given, dict) else given
    if not isinstance(text, str):
        raise ValueError(f"{folder}/tokenizer_config.json: {name}: expected a text, or an object with content")
    return text


def _told(error: BaseException) -> str:
    """What went wrong: the words of a template, else the kind of the error with its words."""
    if isinstance(error, jinja2.TemplateError):
        return str(error)
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _tojson(value: Any, **options: Any) -> str:
    return json.dumps(value, **{"ensure_ascii": False, **options})


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
