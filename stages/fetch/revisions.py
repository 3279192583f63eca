"""The commits that revisions were resolved to, in a file that is committed with the project, like a lock file.

It is no out of a stage, so DVC neither deletes it nor leaves it out of a fresh clone: what was resolved once stays,
also without any cache, until somebody asks for it again.
"""

import fcntl
import json
import os
from pathlib import Path

from stages.shared.atomic import replacing

FILE = Path("stages/fetch/revisions.json")


def recorded(root: Path) -> dict[str, str]:
    """Commit by what was asked for, `kind/owner/name@revision#refresh`.

    Raises:
        ValueError: the file is not what this module writes.
    """
    file = root / FILE
    try:
        commits = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except ValueError as error:
        raise ValueError(f"{FILE}: not valid JSON: {error}") from None
    if not isinstance(commits, dict) or not all(isinstance(commit, str) for commit in commits.values()):
        raise ValueError(f"{FILE}: expected an object of commits")
    return commits


def record(root: Path, asked: str, commit: str) -> str:
    """Add a resolution; returns the commit that counts: of several runs at a time, that of the first."""
    folder = os.open((root / FILE).parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        commits = recorded(root)
        if asked not in commits:
            commits[asked] = commit
            with replacing(root / FILE) as partial:
                partial.write_text(json.dumps(commits, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return commits[asked]
    finally:
        os.close(folder)
