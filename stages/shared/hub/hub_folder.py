"""A folder fetched from the Hub, and the note in it that says what it is: `revision.json`."""

from pathlib import Path
from typing import Literal

import msgspec

NOTE = "revision.json"
Kind = Literal["dataset", "model"]
"""Of a repository."""


class HubFolder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the files of a folder come from."""

    repo: str
    """`owner/name` on the Hub."""
    kind: Kind
    revision: str
    """As it was asked for: a branch, a tag or a commit."""
    commit: str
    """The commit that it was resolved to, in full."""
    license: str | None
    """As the repository's card names it."""
    files: dict[str, str]
    """SHA-256 of each file, by path."""

    def write(self, folder: Path) -> None:
        """Write the note; it has no time in it, so that a commit is always the same bytes."""
        text = msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=2)
        (folder / NOTE).write_bytes(text + b"\n")


def holding(path: Path) -> tuple[Path, HubFolder] | None:
    """The fetched folder that `path` is, or lies in, with its note; None where there is none."""
    for folder in (path, *path.parents):
        if (folder / NOTE).is_file():
            try:
                return folder, msgspec.json.decode((folder / NOTE).read_bytes(), type=HubFolder)
            except msgspec.DecodeError:
                continue  # a file of this name that somebody else wrote
    return None
