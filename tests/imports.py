"""Which files of the project a module imports, directly or through others."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_MODULE_NAME = re.compile(r"stages(\.\w+)+")


def transitive_imports(file: Path) -> set[str]:
    """Paths, relative to the repository, of `file` and of every project module that it loads."""
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += _imported(current)
    return {path.relative_to(ROOT).as_posix() for path in found}


def _imported(file: Path) -> list[Path]:
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _MODULE_NAME.fullmatch(node.value):
            names.append(node.value)  # a module that a process of its own runs
    paths = [ROOT.joinpath(*name.split(".")).with_suffix(".py") for name in names if name.split(".")[0] == "stages"]
    return [path for path in paths if path.exists()]
