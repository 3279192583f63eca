"""What a place that holds published versions can do: the Hub, or a local folder."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
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
    version: str | None = None
    """The commit that was published, which the current one follows where somebody edited the card by hand."""
    files: frozenset[str] = frozenset()
    """Paths of what a new commit is laid over; none where each version has a folder of its own."""

    def revs(self) -> list[str]:
        """The names of the current version."""
        return sorted(rev for rev, commit in self.tags.items() if commit == self.version)


@dataclass(frozen=True)
class Package:
    """All files of a version."""

    manifest: Manifest
    files: Mapping[str, Path | bytes]
    """By path, without the manifest."""
    deletions: Collection[str] = ()
    """Paths of the current version that this one has not."""

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

    def files(self, commit: str, patterns: Collection[str]) -> dict[str, Path]:
        """The files of a version by path, as the target gives them to anybody: those that match one of the patterns."""

    def check(self, package: Package) -> None:
        """What `commit` would find wrong with the package or the place, before anything is written.

        Raises:
            ValueError: the package would be refused.
        """

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


def published(commit: str, manifest: Manifest, tags: Mapping[str, str], read: Callable[[str], Manifest | None]) -> str:
    """The commit that the manifest of `commit` was published with: where its tag is, if that is the same version.

    Somebody may have edited the card since; or the tag has been given to another version while this one had none.
    """
    tagged = tags.get(manifest.rev, commit)
    there = manifest if tagged == commit else read(tagged)
    return tagged if there and there.identity == manifest.identity else commit


def matching(folder: Path, patterns: Collection[str]) -> dict[str, Path]:
    """The files of a folder that match one of the patterns, by path, sorted."""
    found = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    return {path: file for path, file in found.items() if any(fnmatch(path, pattern) for pattern in patterns)}
