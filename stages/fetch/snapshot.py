"""The files of a commit of a repository of the Hub, from there or from the cache of `huggingface_hub`."""

import fnmatch
import glob
import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from stages.shared.hub.hub_folder import Kind

COMPANIONS = ("README.md", "LICENSE*", "chat_template.jinja")
"""Come along where a repository has them: its card, its licence, what newer tokenizers keep beside their config."""
_BUFFER_BYTES = 1 << 20
_SHOWN = 10
_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
"""What git keeps of a large file."""


def download(kind: Kind, repo: str, commit: str, patterns: Sequence[str], target: Path) -> dict[str, str]:
    """Copy the files that match, and the companions, into the new folder `target`.

    What the cache has is not downloaded again: an interrupted download goes on with the files that it lacks.

    Returns:
        The SHA-256 of each file, by path, in the order of their names.

    Raises:
        ValueError: a pattern that matches nothing, or a file that was damaged in the cache.
        OSError, httpx2.HTTPError, CachedRepoTreeNotFoundError: as `huggingface_hub` says it.
    """
    from huggingface_hub import get_cached_repo_tree, snapshot_download  # noqa: PLC0415  # takes 0.3 s

    wanted = [*patterns, *map(glob.escape, patterns), *COMPANIONS]
    cache = Path(snapshot_download(repo, repo_type=kind, revision=commit, allow_patterns=wanted))
    oids = {file.path: file.blob_id for file in get_cached_repo_tree(repo, repo_type=kind, revision=commit)}
    return {path: _copy(cache / path, target / path, oids[path]) for path in matching(oids, patterns)}


def matching(paths: Collection[str], patterns: Sequence[str]) -> list[str]:
    """The paths that match one of the patterns, and the companions, sorted.

    A pattern that is a path is that path alone, whatever its brackets mean otherwise.

    Raises:
        ValueError: a pattern that matches nothing, or a path that leaves the repository.
    """
    chosen = {path for pattern in COMPANIONS for path in fnmatch.filter(paths, pattern)}
    for pattern in patterns:
        found = [pattern] if pattern in paths else fnmatch.filter(paths, pattern)
        if not found:
            shown = ", ".join(sorted(paths)[:_SHOWN]) + (", ..." if len(paths) > _SHOWN else "")
            raise ValueError(f"no file matches {pattern!r}; there are {shown}")
        chosen.update(found)
    for path in map(PurePosixPath, chosen):
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"the file {str(path)!r} is outside of the repository")
    return sorted(chosen)


def _copy(cached: Path, target: Path, oid: str) -> str:
    """Copy a file out of the cache, where it may have been damaged since; returns its SHA-256.

    `oid` is git's SHA-1 of what the repository keeps: the file, or the pointer to a large one, which somebody may have
    written in another form. The cache links to a file by its hash, but on systems without links.

    Raises:
        ValueError: the file has none of these hashes.
    """
    size = cached.stat().st_size
    sha256, git = hashlib.sha256(), _git_sha1(size)
    target.parent.mkdir(parents=True, exist_ok=True)
    with cached.open("rb") as reader, target.open("wb") as writer:
        while block := reader.read(_BUFFER_BYTES):
            sha256.update(block)
            git.update(block)
            writer.write(block)
    text = _POINTER.format(sha256=sha256.hexdigest(), size=size).encode()
    pointer = _git_sha1(len(text))
    pointer.update(text)
    if not {oid, cached.resolve().name} & {git.hexdigest(), pointer.hexdigest(), sha256.hexdigest()}:
        raise ValueError(f"{cached} is damaged: remove it and run again")
    return sha256.hexdigest()


def _git_sha1(size: int) -> "hashlib._Hash":
    """The hash of a blob of so many bytes, before its content."""
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
