"""Fill the store from what was committed: every version of every `data/responses/*.jsonl` that git knows of."""

import json
import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import yaml

from stages.shared.responses.response_store import ResponseStore, StoredReply

log = logging.getLogger("response_seed")
_SEEDED = "seeded.json"
_LOCKS = ("dvc.lock", "stages/*/dvc.lock")
Place = tuple[str, str]
"""Revision and path of a responses file."""
_decode = msgspec.json.Decoder(StoredReply).decode


def seed(store: ResponseStore, root: Path) -> int:
    """Add the replies of all committed versions that were not added before; returns how many were new.

    A version is read from DVC's cache or from the remote. One that is in neither is skipped, and tried again later.
    """
    done = _seeded(store.folder)
    found: dict[str, list[Place]] = {}
    for md5, place in _versions(root):
        if md5 not in done:
            found.setdefault(md5, []).append(place)
    if not found:
        return 0
    added = missing = 0
    for md5, places in found.items():
        revision, path = places[0]
        lines = _read(root, md5, places)
        if lines is None:
            missing += 1
            continue
        try:
            added += store.add_all([_decode(line) for line in lines.splitlines() if line.strip()])
        except msgspec.DecodeError as error:
            log.info("%s of %s: not replies of this format: %s", path, revision[:8], error)
        done.add(md5)
    (store.folder / _SEEDED).write_text(json.dumps(sorted(done)))
    log.info("%d replies from %d committed versions, %d versions not to be had", added, len(found) - missing, missing)
    return added


def _versions(root: Path) -> Iterator[tuple[str, Place]]:
    """Hash and place of every committed version of a responses file, newest first."""
    for revision in _git(root, "log", "--all", "--full-history", "--format=%H", "--", *_LOCKS).split():
        for file in _git(root, "ls-tree", "-r", "--name-only", revision, "--", "dvc.lock", "stages").splitlines():
            if file.endswith("dvc.lock"):
                text = _git(root, "show", f"{revision}:{file}")
                for md5, path in _responses(text):
                    yield md5, (revision, path)


def _responses(lock: str) -> Iterator[tuple[str, str]]:
    """Hash and path of the responses files in the text of a `dvc.lock`, empty ones left out."""
    if "data/responses/" not in lock:
        return
    try:
        stages = yaml.load(lock, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)).get("stages", {})  # noqa: S506
    except (yaml.YAMLError, AttributeError):
        return  # a merge that was committed with its conflict
    for entry in stages.values():
        for out in entry.get("outs", []):
            if "data/responses/" in out["path"] and "md5" in out and out.get("size"):
                yield out["md5"], out["path"].split("../")[-1]


def _read(root: Path, md5: str, places: list[Place]) -> bytes | None:
    cached = root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    if cached.is_file():
        return cached.read_bytes()
    import dvc.api  # noqa: PLC0415  # takes 0.4 s, and is rarely needed
    from aiohttp import ClientError  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]  # noqa: PLC0415
    from dvc.exceptions import DvcException  # noqa: PLC0415

    for (revision, path), remote in _attempts(root, places):
        try:
            with dvc.api.open(path, repo=str(root), rev=revision, remote=remote, mode="rb") as file:
                content: bytes = file.read()
                return content
        except (DvcException, BotoCoreError, ClientError, OSError) as error:
            log.info("%s of %s: %s", path, revision[:8], " ".join(str(error).split())[:120])
    return None


def _attempts(root: Path, places: list[Place]) -> Iterator[tuple[Place, str | None]]:
    """Where a version may be read from: today's default remote, then that of each other configuration it came with.

    A remote may be younger than the version, and the version may be older than the remote's last change.
    """
    from dvc.config import Config  # noqa: PLC0415  # takes as long as dvc.api

    remote: str | None = Config(str(root / ".dvc")).get("core", {}).get("remote")
    yield places[0], remote
    config = root / ".dvc" / "config"
    seen = {config.read_text() if config.is_file() else ""}
    for revision, path in places:
        text = _git(root, "show", f"{revision}:.dvc/config")
        if text not in seen:
            seen.add(text)
            yield (revision, path), None


def _seeded(folder: Path) -> set[str]:
    file = folder / _SEEDED
    try:
        return set(json.loads(file.read_text())) if file.exists() else set()
    except json.JSONDecodeError:
        return set()


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603, S607
    except FileNotFoundError:
        return ""  # DVC works without git
    return done.stdout if done.returncode == 0 else ""
