"""`manifest.json`: what a published version is, for machines. It is in no way a function of the time."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from stages.shared.records import canonical_json

NAME = "manifest.json"
FORMAT = 1
_TOOLS = ("datasets", "dvc", "huggingface-hub", "pyarrow")


class _Format(msgspec.Struct, frozen=True):
    """What every format has."""

    format: int


class Changes(msgspec.Struct, frozen=True):
    """Rows against the version before."""

    added: int
    removed: int
    changed: int


class Former(msgspec.Struct, frozen=True):
    """A version that this one follows."""

    revs: list[str]
    rows: int
    changes: Changes | None
    """None for the first version."""


class File(msgspec.Struct, frozen=True):
    """A file of the version."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True):
    """A version of a dataset."""

    format: int
    variant: str
    rev: str
    """The name under which it was first published; a tag may give it others."""
    identity: str
    """`identity` of this module: versions with the same one are equal."""
    rows: dict[str, int]
    """By split."""
    files: dict[str, File]
    """Every file but this one, by path."""
    schema: str
    """A line for each column: its name and its type as Arrow writes it."""
    git_revision: str
    stage: str
    """The stage that wrote the data."""
    deps: dict[str, str]
    """MD5 of each dep of that stage in dvc.lock."""
    inputs: dict[str, str]
    """MD5 of what no stage wrote, of that stage and all before it: data, prompts and code."""
    params: dict[str, Any]
    """The sections of params.yaml of that stage and all before it."""
    sources: dict[str, str]
    """Commit of each repository of the Hub among the inputs."""
    tools: dict[str, str]
    """Versions of the packages that wrote and checked the files."""
    changes: Changes | None
    """Against the version before it; None for the first."""
    history: list[Former]
    """The versions before it, the newest first."""

    def dump(self) -> bytes:
        """Equal manifests are equal bytes."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=2) + b"\n"

    def revs(self) -> set[str]:
        """The names under which this version and those before it were published."""
        return {self.rev}.union(*(former.revs for former in self.history))

    def former(self, revs: list[str]) -> list[Former]:
        """The history of the version that comes after this one; `revs` are the names that this one has."""
        return [Former(revs or [self.rev], sum(self.rows.values()), self.changes), *self.history]


def parse(content: bytes, file: str = NAME) -> Manifest:
    """Read a manifest. Fields that this program does not know are left out: a later one may add some.

    Raises:
        ValueError: it is none, or of another format; `file` is how the message calls it.
    """
    try:
        found = msgspec.json.decode(content, type=_Format).format
        if found != FORMAT:
            raise ValueError(f"{file}: expected format {FORMAT}, got {found}")
        return msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise ValueError(f"{file} is not a manifest of this program: {error}") from None


def identity(files: Mapping[str, str], card: str, trainers: Mapping[str, str]) -> str:
    """What decides whether two versions are equal.

    Equal are versions with the same files as `build` wrote them (`files`: SHA-256 by path, before any regrouping; the
    card by its text, without what `publish` adds), and the same trainer configurations (made for neutral names). The
    name of the version, the git revision, MD5s and what it was compared with are no part of it: the same data under a
    second name, or from a later commit that changes no file of the dataset, is the same version.
    """
    texts = {"card": card, **{f"trainer {path}": text for path, text in trainers.items()}}
    hashes = {what: hashlib.sha256(text.encode()).hexdigest() for what, text in texts.items()}
    return hashlib.sha256(canonical_json({"files": dict(files), "texts": hashes})).hexdigest()


def described(content: Path | bytes) -> File:
    """Hash and size of a file, or of the bytes of one."""
    if isinstance(content, bytes):
        return File(hashlib.sha256(content).hexdigest(), len(content))
    with content.open("rb") as reader:
        return File(hashlib.file_digest(reader, "sha256").hexdigest(), content.stat().st_size)


def tools() -> dict[str, str]:
    """Versions of the packages that matter for the bytes."""
    return {name: version(name) for name in _TOOLS}
