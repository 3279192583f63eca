"""Repositories as the Hub keeps them: commits, branches, tags and files by their hash, in a folder."""

import hashlib
import json
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stages.shared.atomic import replacing

LFS_FROM_BYTES = 10 * 2**20
LFS_SUFFIXES = (".parquet", ".arrow", ".zst", ".gz", ".safetensors", ".bin", ".png")
GIT_ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()


class MissingRevisionError(Exception):
    """No branch, tag or commit has this name."""


class MissingFileError(Exception):
    """The revision has no such file."""


class RefusedError(Exception):
    """The Hub says no, with the status and the words of the real one."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Stored:
    """A file of a commit."""

    sha256: str
    size: int
    oid: str
    """Git's SHA-1 of the blob, which for an LFS file is its pointer."""
    lfs: bool


@dataclass(frozen=True)
class Commit:
    parent: str | None
    message: str
    files: dict[str, Stored]


@dataclass
class Repository:
    """One repository; `kind` is `datasets` or `models`."""

    kind: str
    name: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return self.branches["main"]

    def commit_of(self, revision: str) -> str:
        """The commit of a branch, a tag, `refs/heads/...`, `refs/tags/...`, or at least 7 digits of a commit."""
        named = self.branches | self.tags
        named |= {f"refs/heads/{name}": oid for name, oid in self.branches.items()}
        named |= {f"refs/tags/{name}": oid for name, oid in self.tags.items()}
        short = [oid for oid in self.commits if len(revision) >= 7 and oid.startswith(revision)]
        found = named.get(revision) or (short[0] if len(short) == 1 else None)
        if found is None:
            raise MissingRevisionError(revision)
        return found

    def files(self, revision: str = "main") -> dict[str, Stored]:
        return self.commits[self.commit_of(revision)].files

    def history(self, revision: str = "main") -> Iterator[tuple[str, Commit]]:
        """Commits from the newest to the first."""
        oid: str | None = self.commit_of(revision)
        while oid is not None:
            yield oid, self.commits[oid]
            oid = self.commits[oid].parent


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_lfs(path: str, size: int) -> bool:
    return path.endswith(LFS_SUFFIXES) or size > LFS_FROM_BYTES


class Repositories:
    """All repositories of a Hub. What a folder holds is found again by the next server on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self.all: dict[tuple[str, str], Repository] = {}
        (folder / "blobs").mkdir(parents=True, exist_ok=True)
        for file in sorted((folder / "repositories").rglob("*.json")):
            self._load(file)

    def create(self, kind: str, name: str, *, private: bool = False) -> Repository:
        """A repository with the first commit that the Hub makes."""
        with self.lock:
            if (kind, name) in self.all:
                raise RefusedError(409, f"You already created this {kind[:-1]} repo")
            made = self.all[kind, name] = Repository(kind, name, private)
            self._add(made, "main", None, "initial commit", {".gitattributes": self.stored_text(GIT_ATTRIBUTES)})
            return made

    def commit(
        self,
        repository: Repository,
        message: str,
        added: Mapping[str, Stored],
        deleted: Collection[str] = (),
        *,
        parent: str | None = None,
        branch: str = "main",
    ) -> str:
        """Add a commit to a branch. A folder to delete ends in a slash. A branch that is not at `parent` refuses."""
        with self.lock:
            if branch not in repository.branches:
                raise MissingRevisionError(branch)
            head = repository.branches[branch]
            if parent is not None and not head.startswith(parent):
                raise RefusedError(412, "A commit has happened since. Please refresh and try again.")
            files = dict(repository.commits[head].files)
            for path in deleted:
                gone = [name for name in files if name == path or (path.endswith("/") and name.startswith(path))]
                if not gone:
                    raise MissingFileError(path)
                for name in gone:
                    del files[name]
            return self._add(repository, branch, head, message, files | dict(added))

    def tag(self, repository: Repository, name: str, revision: str) -> None:
        with self.lock:
            if name in repository.tags:
                raise RefusedError(409, "Tag reference exists already")
            repository.tags[name] = repository.commit_of(revision)
            self._save(repository)

    def untag(self, repository: Repository, name: str) -> None:
        with self.lock:
            if name not in repository.tags:
                raise MissingRevisionError(name)
            del repository.tags[name]
            self._save(repository)

    def stored(self, path: str, content: bytes) -> Stored:
        """Keep a file's bytes, as LFS where the Hub would."""
        return self.stored_lfs(self.keep(content)) if is_lfs(path, len(content)) else self.stored_text(content)

    def stored_text(self, content: bytes) -> Stored:
        return Stored(self.keep(content), len(content), git_oid(content), lfs=False)

    def stored_lfs(self, sha256: str) -> Stored:
        size = self.blob(sha256).stat().st_size
        return Stored(sha256, size, git_oid(pointer(sha256, size)), lfs=True)

    def keep(self, content: bytes) -> str:
        """Write a blob; an upload that is cut off leaves none."""
        sha256 = hashlib.sha256(content).hexdigest()
        if not self.blob(sha256).exists():
            with replacing(self.blob(sha256)) as partial:
                partial.write_bytes(content)
        return sha256

    def blob(self, sha256: str) -> Path:
        return self.folder / "blobs" / sha256

    def read(self, repository: Repository, path: str, revision: str = "main") -> bytes:
        """Bytes of a file."""
        files = repository.files(revision)
        if path not in files:
            raise MissingFileError(path)
        return self.blob(files[path].sha256).read_bytes()

    def _add(
        self, repository: Repository, branch: str, parent: str | None, message: str, files: dict[str, Stored]
    ) -> str:
        commit = Commit(parent, message, dict(sorted(files.items())))
        text = json.dumps([repository.kind, repository.name, len(repository.commits), asdict(commit)])
        oid = hashlib.sha1(text.encode()).hexdigest()
        repository.commits[oid] = commit
        repository.branches[branch] = oid
        self._save(repository)
        return oid

    def _save(self, repository: Repository) -> None:
        with replacing(self.folder / "repositories" / repository.kind / f"{repository.name}.json") as partial:
            partial.write_text(json.dumps(asdict(repository)))

    def _load(self, file: Path) -> None:
        saved = json.loads(file.read_text())
        commits = {
            oid: Commit(c["parent"], c["message"], {path: Stored(**stored) for path, stored in c["files"].items()})
            for oid, c in saved.pop("commits").items()
        }
        found = Repository(**saved, commits=commits)
        self.all[found.kind, found.name] = found


def pointer(sha256: str, size: int) -> bytes:
    """The file that git has in place of an LFS file (https://git-lfs.com/spec/v1)."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
