"""The normal form of code: equal for codes that differ only in comments, docstrings, layout and quotes."""

import ast
import hashlib
from collections.abc import Sequence

from stages.shared.code.syntax import parse

# Names that a load or store context, a position or a comment give no meaning to.
_SKIPPED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


def code_hash(code: str) -> str:
    """16 hex digits of the SHA-256 of the normal form, the same on every supported Python.

    Code that does not parse, or is only comments, is hashed as text without blank lines and trailing white space.
    """
    return hashlib.sha256(normal_form(code).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def normal_form(code: str) -> str:
    """The syntax tree written out field by field.

    `ast.dump` and `ast.unparse` differ between Python versions. Here empty and missing fields are left out (a newer
    Python only adds such fields), f-strings are their parts with neighbouring texts joined, docstrings are dropped.
    """
    tree = parse(code)
    if tree is None or not tree.body:
        return "unparsed\n" + "\n".join(line.rstrip() for line in code.splitlines() if line.strip())
    parts: list[str] = []
    _write(tree, parts)
    return "".join(parts)


def _write(node: ast.AST, parts: list[str]) -> None:
    if isinstance(node, ast.Constant):
        parts.append(_constant(node.value))
        return
    parts.append(f"{type(node).__name__}(")
    for field in node._fields:
        value = getattr(node, field, None)
        if field in _SKIPPED_FIELDS or value is None or value == []:
            continue
        parts.append(f"{field}=")
        if isinstance(value, list):
            kept = f_string_parts(value) if isinstance(node, ast.JoinedStr) else _without_docstring(node, field, value)
            _write_all(kept, parts)
        elif isinstance(value, ast.AST):
            _write(value, parts)
        else:
            parts.append(_constant(value))
        parts.append(",")
    parts.append(")")


def _write_all(values: Sequence[ast.AST | str | None], parts: list[str]) -> None:
    parts.append("[")
    for value in values:
        if isinstance(value, ast.AST):
            _write(value, parts)
        else:
            parts.append(_constant(value))
        parts.append(",")
    parts.append("]")


def _without_docstring(node: ast.AST, field: str, body: list[ast.AST]) -> list[ast.AST]:
    documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    if documented and field == "body" and isinstance(body[0], ast.Expr):
        value = body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return body[1:]
    return body


def f_string_parts(values: Sequence[ast.AST]) -> list[ast.AST]:
    """The parts of an f-string with neighbouring texts joined, which older Pythons do and newer do not."""
    parts: list[ast.AST] = []
    for value in values:
        text = value.value if isinstance(value, ast.Constant) else None
        if text == "":
            continue
        before = parts[-1].value if parts and isinstance(parts[-1], ast.Constant) else None
        if isinstance(text, str) and isinstance(before, str):
            parts[-1] = ast.Constant(before + text)
        else:
            parts.append(value)
    return parts


def _constant(value: object) -> str:
    # repr refuses integers of more than 4,300 digits, and escapes the characters that this Python's Unicode lacks.
    return hex(value) if type(value) is int else ascii(value)
