"""Renew the exact versions in both `pyproject.toml`: `uv run --no-project python -m tests.pins`.

The pins are a block of `[tool.uv] constraint-dependencies`, because a lock file would name the index it was made with.
"""

import re
import subprocess
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
VERIFIERS = PYPROJECT.parent / "tests" / "verifiers" / "pyproject.toml"
"""A project of its own: verifiers needs another openai."""
_BLOCK = re.compile(r"^constraint-dependencies = \[\n(.*?)^\]\n", re.DOTALL | re.MULTILINE)
_EXPORT = ["uv", "export", "--all-groups", "--all-extras", "--no-hashes", "--no-header", "--no-annotate"]


def pinned(text: str) -> list[str]:
    """The requirements of the block in the text of a `pyproject.toml`."""
    block = _BLOCK.search(text)
    assert block is not None, "pyproject.toml has no constraint-dependencies"
    return re.findall(r'^    "(.*)",$', block[1], re.MULTILINE)


def with_pins(text: str, requirements: list[str]) -> str:
    """The text with the block replaced."""
    lines = "".join(f'    "{requirement}",\n' for requirement in requirements)
    return _BLOCK.sub(lambda _: f"constraint-dependencies = [\n{lines}]\n", text)


def renew(file: Path) -> None:
    """Resolve a project anew without its pins, and write what was resolved."""
    before = file.read_text()
    file.write_text(with_pins(before, []))
    try:
        subprocess.run(["uv", "lock", "--upgrade", "--quiet"], check=True, cwd=file.parent)
        exported = subprocess.run(_EXPORT, check=True, cwd=file.parent, capture_output=True, text=True).stdout
    except BaseException:
        file.write_text(before)
        raise
    lines = [line.strip().replace('"', "'") for line in exported.splitlines()]
    file.write_text(with_pins(before, sorted(line for line in lines if "==" in line)))


if __name__ == "__main__":
    for project in (PYPROJECT, VERIFIERS):
        renew(project)
