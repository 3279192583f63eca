"""Run a command: `python -m stages <name> ...`.

A command is a module `stages/commands/<name>.py` with a docstring, whose first line the list of commands shows, and
`def main(words: list[str]) -> None`, which gets the words after the name. It raises `ValueError` or `OSError` for what
a user can act on: that ends in one line on standard error and exit code 1.
"""

import ast
import importlib
import logging
import sys
from pathlib import Path

_FOLDER = Path(__file__).parent / "commands"


def commands() -> dict[str, str]:
    """The first line of the docstring of each command, by name; nothing is imported."""
    files = sorted(file for file in _FOLDER.glob("*.py") if file.stem != "__init__")
    documented = {file.stem: ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) for file in files}
    return {name: (text or "").partition("\n")[0] for name, text in documented.items()}


def listing() -> str:
    """What `--help` says."""
    found = commands()
    width = max(map(len, found), default=0)
    lines = [f"  {name:{width}}  {what}" for name, what in found.items()]
    return "\n".join(["usage: python -m stages COMMAND ...", "", *lines, "", "COMMAND --help says more."])


def main(words: list[str]) -> None:
    """Run the command that the first word names."""
    if not words or words[0] in {"-h", "--help"}:
        sys.stdout.write(f"{listing()}\n")
        return
    name = words[0]
    if name not in commands():
        sys.exit(f"stages: no command {name!r}; there are {', '.join(commands())}")
    logging.basicConfig(level=logging.INFO, format=f"{name}: %(message)s", stream=sys.stderr)
    try:
        importlib.import_module(f"stages.commands.{name}").main(words[1:])
    except (ValueError, OSError) as error:
        message = " ".join(str(error).split())
        sys.exit(f"{name}: {message}")
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell tells of Ctrl-C


if __name__ == "__main__":
    main(sys.argv[1:])
