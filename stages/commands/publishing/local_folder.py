"""Published versions in a local folder: `DIR/<repository>/<rev>/`, each a dataset that `load_dataset` reads."""

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.commands.publishing.card import Place
from stages.commands.publishing.manifest import NAME, Manifest, parse
from stages.commands.publishing.target import Package, State, matching
from stages.shared.atomic import replacing


class LocalFolder:
    """The versions of one dataset. A second name of a version is a symbolic link to its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.where = str(folder)

    def place(self, rev: str) -> Place:
        """The folder of a version, from the one that holds the datasets."""
        return Place(f"./{self._folder.name}/{rev}", None, None, str(self._folder / rev))

    def state(self) -> State:
        """The current version is the one with the longest history."""
        folders = [path for path in self._folder.glob("[!.]*") if (path / NAME).is_file()]
        tags = {path.name: path.resolve().name for path in sorted(folders)}
        if not tags:
            return State(None, None)
        manifests = {commit: self._manifest(commit) for commit in sorted(set(tags.values()))}
        current = max(manifests, key=lambda commit: (len(manifests[commit].history), commit))
        return State(current, manifests[current], tags, version=current)

    def manifest(self, commit: str) -> Manifest | None:
        """Of any version."""
        return self._manifest(commit)

    def files(self, commit: str, patterns: Collection[str]) -> dict[str, Path]:
        """In the folder of the version itself."""
        return matching(self._folder / commit, patterns)

    def check(self, package: Package) -> None:
        """The folder can be made and written to, and has no such version."""
        target = self._folder / package.manifest.rev
        if target.exists():
            raise ValueError(f"{target} is there and holds no version; remove it or choose another --rev")
        there = next(path for path in self._folder.absolute().parents if path.exists())
        there = self._folder if self._folder.exists() else there
        if not there.is_dir():
            raise ValueError(f"{there} is no folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise ValueError(f"{there} may not be written to")

    def commit(self, package: Package, parent: State) -> str:
        """Write a folder under another name, and everything in it to the disk, before it gets its own."""
        target = self._folder / package.manifest.rev
        self._folder.mkdir(parents=True, exist_ok=True)
        with _alone(self._folder):
            if self.state() != parent:
                raise ValueError("another version came in between; run again")
            self.check(package)
            with replacing(target) as partial:
                for path, content in package.contents.items():
                    _write(partial / path, content)
                for folder in [partial, *(path for path in partial.rglob("*") if path.is_dir())]:
                    _sync(folder)
            _sync(self._folder)
        return target.name

    def tag(self, rev: str, commit: str) -> None:
        """Link to the folder of the version."""
        if (self._folder / rev).resolve() == (self._folder / commit).resolve():
            return
        try:
            (self._folder / rev).symlink_to(commit, target_is_directory=True)
        except FileExistsError:
            raise ValueError(f"{rev} is the name of another version; choose another --rev") from None
        _sync(self._folder)

    def _manifest(self, commit: str) -> Manifest:
        return parse((self._folder / commit / NAME).read_bytes(), f"{commit}/{NAME}")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to a folder; the lock goes with the process."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ValueError("another process is publishing there; run again") from None
    finally:
        os.close(opened)


def _write(target: Path, content: Path | bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as writer:
        if isinstance(content, bytes):
            writer.write(content)
        else:
            with content.open("rb") as reader:
                shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())


def _sync(folder: Path) -> None:
    """Make the names in a folder outlive a loss of power."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
