"""What a place that holds published versions can do: the Hub, or a local folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from stages.commands.publishing.card import Place
from stages.commands.publishing.manifest import NAME, Manifest


@dataclass(frozen=True)
class State:
    """What a target holds of one dataset."""

    commit: str | None
    """The current version; None where there is nothing yet."""
    manifest: Manifest | None
    """Of the current version; None where it was not published by this program."""
    tags: dict[str, str] = field(default_factory=dict)
    """Commit by the name of a version."""

    @property
    def version(self) -> str | None:
        """The commit that was published, which the current one follows where somebody edited the card by hand."""
        return self.tags.get(self.manifest.rev, self.commit) if self.manifest else self.commit

    def revs(self) -> list[str]:
        """The names of the current version."""
        return sorted(rev for rev, commit in self.tags.items() if commit == self.version)


@dataclass(frozen=True)
class Package:
    """All files of a version."""

    manifest: Manifest
    files: Mapping[str, Path | bytes]
    """By path, without the manifest."""

    @property
    def contents(self) -> dict[str, Path | bytes]:
        """With the manifest."""
        return {**self.files, NAME: self.manifest.dump()}


class Target(Protocol):
    """Holds the versions of one dataset. A commit names a version for good; a tag is a further name of one."""

    where: str
    """How messages call it."""

    def place(self, rev: str) -> Place:
        """Where a version will be found."""

    def state(self) -> State:
        """What is there now."""

    def manifest(self, commit: str) -> Manifest | None:
        """Of any version."""

    def files(self, commit: str, *, data_only: bool = False) -> Path:
        """A folder with the files of a version, as the target gives them to anybody."""

    def commit(self, package: Package, parent: State) -> str:
        """Add a version, whole or not at all; names its commit.

        Raises:
            ValueError: the current version is no longer `parent`.
        """

    def tag(self, rev: str, commit: str) -> None:
        """Name a version.

        Raises:
            ValueError: the name is taken by another one.
        """
