"""Parse Python code the same way on every supported Python: what all of them read alike, and nothing else.

From 3.12 on the grammar has `type` statements, type parameters and freer f-strings (PEP 701). A code hash or a
rating that used them would differ between a machine with 3.11 and one with 3.13.
"""

import ast
import io
import re
import sys
import threading
import tokenize
import warnings

_OLDEST = (3, 11)
# Python 3.11 counts the depth of a tree, and `catch_warnings` keeps the filters, in one place for all threads.
_PARSING = threading.Lock()
# Pythons differ in how deep a tree they build, and all that walks a tree here does so by recursion.
_DEEPEST = 300
_F_PREFIX = re.compile(r"\b(?:f|fr|rf)['\"]", re.IGNORECASE)
_PLAIN_STRING = re.compile(
    r"""[A-Za-z]*(?:'''(?:[^'\\]|\\.|'(?!''))*'''|\"\"\"(?:[^"\\]|\\.|"(?!""))*\"\"\"|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")""",
    re.DOTALL,
)
_BRACED = (ast.Set, ast.Dict, ast.SetComp, ast.DictComp)


def parse(code: str) -> ast.Module | None:
    """The syntax tree of `code`, None when a supported Python would not parse it, or not to the same tree.

    Nothing is executed, nothing is warned. A tree of more than 300 levels counts as code that does not parse.
    """
    try:
        with _PARSING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code, feature_version=_OLDEST)
            f_strings = _f_strings(tree)
            if f_strings is None or _is_ambiguous(f_strings):
                return None
            if sys.version_info >= (3, 12) and _F_PREFIX.search(code) and _has_new_f_string(code):
                return None
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return None
    return tree


def module_classes(tree: ast.Module) -> list[ast.ClassDef]:
    """The top-level classes that derive from `Module`, directly or through one of each other, in source order."""
    found: list[ast.ClassDef] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = {last_name(base) for base in node.bases}
            if bases & ({"Module"} | {known.name for known in found}):
                found.append(node)
    return found


def entry_point(code: str) -> str | None:
    """The class to build: the last `nn.Module` class of the code, None when there is none or it does not parse."""
    tree = parse(code)
    classes = module_classes(tree) if tree else []
    return classes[-1].name if classes else None


def method(owner: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """The last definition of a method in a class body."""
    found = [node for node in owner.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return found[-1] if found else None


def last_name(node: ast.expr) -> str:
    """`c` of `a.b.c` or of `c`; empty for anything else."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def root_name(node: ast.expr) -> str:
    """`a` of `a.b.c` or of `a`; empty for anything else."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _f_strings(tree: ast.Module) -> list[ast.JoinedStr] | None:
    """The f-strings of a tree, None when it has too many levels. Every tree is walked, so this is written for speed."""
    found: list[ast.JoinedStr] = []
    level: list[ast.AST] = [tree]
    for _ in range(_DEEPEST):
        below: list[ast.AST] = []
        for node in level:
            if isinstance(node, ast.JoinedStr):
                found.append(node)
            for name in node._fields:
                value = getattr(node, name, None)
                if isinstance(value, list):
                    below += [item for item in value if isinstance(item, ast.AST)]
                elif isinstance(value, ast.AST) and name != "ctx":
                    below.append(value)
        if not below:
            return found
        level = below
    return None


def _is_ambiguous(f_strings: list[ast.JoinedStr]) -> bool:
    """Whether an f-string has a field that one Python refuses, or takes for another thing, and another does not.

    These are a bare generator or starred value, and in a format spec: specs of its own, braces, a backslash.
    """
    fields = [field for node in f_strings for field in _fields(node)]
    if any(isinstance(field.value, ast.GeneratorExp | ast.Starred) for field in fields):
        return True
    specs = [field.format_spec for field in fields if isinstance(field.format_spec, ast.JoinedStr)]
    inner = [field for spec in specs for field in _fields(spec)]
    texts = [part.value for spec in specs for part in spec.values if isinstance(part, ast.Constant)]
    return (
        any(_fields(field.format_spec) for field in inner)
        or any(isinstance(node, _BRACED) for field in inner for node in ast.walk(field.value))
        or any(isinstance(text, str) and set(text) & set("{}\\") for text in texts)
    )


def _has_new_f_string(code: str) -> bool:
    """Whether an f-string has what only PEP 701 allows in a field: its quotes, a backslash, a comment.

    Or white space after a conversion, or a backslash in the format spec of a raw f-string, which 3.12 decodes.
    """
    # The parser reads these ends of lines as one; other characters that `splitlines` knows end no line of code.
    code = code.replace("\r\n", "\n").replace("\r", "\n")
    starts = [0]
    for line in code.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    f_start = getattr(tokenize, "FSTRING_START", -1)
    f_end = getattr(tokenize, "FSTRING_END", -1)
    f_middle = getattr(tokenize, "FSTRING_MIDDLE", -1)
    opened: list[tuple[int, bool]] = []
    open_braces: list[int] = []
    converted = False
    before, text = 0, ""
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        first = starts[token.start[0] - 1] + token.start[1]
        last = starts[token.end[0] - 1] + token.end[1]
        if opened and ("\\" in code[before:first] or (converted and first > before)):
            return True
        converted = text == "!" and bool(opened)
        before, text = last, token.string
        if token.type == f_start:
            opened.append((first, "r" in text.lower()))
            open_braces.append(0)
        elif token.type == f_end:
            begin, _ = opened.pop()
            open_braces.pop()
            plain = _PLAIN_STRING.match(code, begin)
            if plain is None or plain.end() != last or (opened and "\\" in code[begin:last]):
                return True
        elif opened and token.type == f_middle:
            if open_braces[-1] and opened[-1][1] and "\\" in text:
                return True
        elif opened and (token.type == tokenize.COMMENT or "\\" in text):
            return True
        elif opened and token.type == tokenize.OP:
            open_braces[-1] += (text == "{") - (text == "}")
    return False


def _fields(node: ast.AST | None) -> list[ast.FormattedValue]:
    return (
        [part for part in node.values if isinstance(part, ast.FormattedValue)]
        if isinstance(node, ast.JoinedStr)
        else []
    )
