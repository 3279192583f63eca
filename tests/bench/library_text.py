"""Real text to fill generated rows with: prose and code of the standard library that runs this."""

import ast
import inspect
import random
import re
import sysconfig
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stages.shared.code.syntax import parse

# Tests are not installed everywhere; tables of character codes are not text.
_SKIPPED_FOLDERS = {
    "encodings",
    "idle_test",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "turtledemo",
}
# What a rollout's own marks are made of must not stand inside its texts.
_MARKS = re.compile(r"```|<\|?/?(?:think|answer|im_|endoftext)|(?:BEGIN|END)_PYTHON")
_PARAGRAPH = range(60, 1200)
_DEFINITION = range(200, 3000)
_LINES = 100


class LibraryText(NamedTuple):
    """Texts in the order of their files, which depends on the Python version alone."""

    paragraphs: list[str]
    """Parts of docstrings and of the language's help pages, without blank lines inside."""
    definitions: list[str]
    """Functions, classes and methods, moved to the margin; each parses alone."""
    functions: list[str]
    """The short functions among `definitions`."""


def library_text() -> LibraryText:
    """Collect the texts; takes some seconds and some 30 MB."""
    paragraphs: dict[str, None] = {}
    definitions: dict[str, None] = {}
    functions: dict[str, None] = {}
    for file in _files(Path(sysconfig.get_path("stdlib"))):
        source = file.read_text(encoding="utf-8", errors="replace")
        tree = parse(source)
        if tree is None or "\ufffd" in source:
            continue
        paragraphs |= dict.fromkeys(_paragraphs(tree))
        for text in _definitions(tree, source.splitlines(keepends=True)):
            definitions[text] = None
            if text.startswith("def ") and len(text) < _PARAGRAPH.stop:
                functions[text] = None
    return LibraryText(list(paragraphs), list(definitions), list(functions))


def fill(draw: random.Random, texts: list[str], size: int) -> str:
    """Random texts, a blank line between them, as many as come nearest to `size` characters."""
    chosen: list[str] = []
    while size > 0:
        text = draw.choice(texts)
        if len(text) > 2 * size:
            break
        chosen.append(text.strip("\n"))
        size -= len(text) + 2
    return "\n\n\n".join(chosen)


def _files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*.py")):
        if not _SKIPPED_FOLDERS & set(file.relative_to(folder).parts):
            yield file


def _definitions(tree: ast.Module, lines: list[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and (node.end_lineno or 0) - node.lineno < _LINES:
            text = textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno]))
            # Cut out of its file a text may end elsewhere: a text at the margin, a line that two statements share.
            if len(text) in _DEFINITION and not _MARKS.search(text) and parse(text) is not None:
                yield text


def _paragraphs(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        # Not only docstrings: the help pages are the values of a dictionary.
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            for text in inspect.cleandoc(node.value).split("\n\n"):
                if len(text) in _PARAGRAPH and not _MARKS.search(text) and all(map(str.isprintable, text.split("\n"))):
                    yield text
