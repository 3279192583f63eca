"""Published versions in a dataset repository of the Hub: a commit for each, and tags.

Imports `huggingface_hub`, which reads the environment then: `hub_environment.prepare` comes before.
"""

import json
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    DatasetCard,
    HfApi,
    hf_hub_download,
    set_client_factory,
    snapshot_download,
)
from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils._http import default_client_factory  # nothing public makes what it makes

from stages.commands.publishing.card import Place
from stages.commands.publishing.checkout import public_address
from stages.commands.publishing.manifest import NAME, Manifest, parse
from stages.commands.publishing.target import Package, State
from stages.shared.hub.retry import WAITS_S, patiently

log = logging.getLogger("publish")
Result = TypeVar("Result")
_KIND = "dataset"
_TIMEOUTS = ("connect", "read", "write", "pool")
_DATA = "data/"
_TAKEN, _MOVED = 409, 412
"""Statuses of the Hub: a tag that exists; a branch that is not at the parent commit."""


def set_timeout(seconds: float) -> None:
    """Let no request wait longer than this for the next byte: by itself `huggingface_hub` waits for ever.

    Several of its calls say so explicitly, which overrides the timeout of a client, so each request is changed.
    """

    def limit(request: httpx2.Request) -> None:
        given = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {kind: given.get(kind) or seconds for kind in _TIMEOUTS}

    def client() -> httpx2.Client:
        made = default_client_factory()
        made.event_hooks = {**made.event_hooks, "request": [*made.event_hooks["request"], limit]}
        return made

    set_client_factory(client)


class HubRepository:
    """One repository. All its methods may raise what `huggingface_hub` raises for what does not pass by waiting."""

    def __init__(self, name: str, *, public: bool) -> None:
        self._api = HfApi()
        self._name = name
        self._public = public
        self.where = f"{name} on the Hub"

    def place(self, rev: str) -> Place:
        """The repository at a tag."""
        return Place(self._name, rev, public_address(f"{self._api.endpoint}/datasets/{self._name}"), self._name)

    def state(self) -> State:
        """What is on the main branch.

        Raises:
            ValueError: the repository is public, and `--public` was not asked for.
        """
        try:
            info = self._info()
        except RepositoryNotFoundError:
            return State(None, None)
        if info.private and self._public:
            log.info("%s: is private and stays so; its settings on the Hub change that", self._name)
        refs = self._ask("list versions", lambda: self._api.list_repo_refs(self._name, repo_type=_KIND))
        head = next((branch.target_commit for branch in refs.branches if branch.name == "main"), str(info.sha))
        return State(head, self.manifest(head), {tag.name: tag.target_commit for tag in refs.tags})

    def manifest(self, commit: str) -> Manifest | None:
        """Of the files at a commit."""
        try:
            found = self._ask(
                "read the manifest",
                lambda: hf_hub_download(self._name, NAME, repo_type=_KIND, revision=commit),
            )
        except RemoteEntryNotFoundError:
            return None
        return parse(Path(found).read_bytes(), self.where)

    def files(self, commit: str, *, data_only: bool = False) -> Path:
        """Download a commit into the cache, which is empty when a run begins."""
        wanted = [f"{_DATA}*"] if data_only else None
        found = self._ask(
            "download",
            lambda: snapshot_download(self._name, repo_type=_KIND, revision=commit, allow_patterns=wanted),
        )
        return Path(found)

    def commit(self, package: Package, parent: State) -> str:
        """Upload the files, then make them a version by one commit on top of `parent`.

        An upload alone changes nothing that can be seen. Whether a commit whose answer was lost was made is read from
        the main branch before it is tried again.

        Raises:
            ValueError: the card is refused, or another commit came in between.
        """
        parent_commit = parent.commit or self._create()
        self._validate(package.files["README.md"])
        additions = [CommitOperationAdd(path, content) for path, content in package.contents.items()]
        self._upload([addition for addition in additions if addition.path_in_repo.startswith(_DATA)])
        deletions = [CommitOperationDelete(path) for path in self._stale(parent_commit, package)]

        def attempt() -> str:
            head = str(self._info().sha)
            if head == parent_commit:
                try:
                    done = self._api.create_commit(
                        self._name,
                        [*additions, *deletions],
                        commit_message=f"Publish {package.manifest.rev}",
                        repo_type=_KIND,
                        parent_commit=parent_commit,
                    )
                    return str(done.oid)
                except HfHubHTTPError as error:
                    if error.response.status_code != _MOVED:
                        raise
                    head = str(self._info().sha)
            found = self.manifest(head)
            if found is None or found.identity != package.manifest.identity:
                raise ValueError("another commit came in between; run again")
            return head

        return self._ask("commit", attempt)

    def tag(self, rev: str, commit: str) -> None:
        """Make a tag; one that is there stays where it is."""

        def attempt() -> None:
            try:
                self._api.create_tag(self._name, tag=rev, revision=commit, repo_type=_KIND)
            except HfHubHTTPError as error:
                if error.response.status_code != _TAKEN:
                    raise

        self._ask("tag", attempt)
        found = self._ask("look up the tag", lambda: self._api.repo_info(self._name, repo_type=_KIND, revision=rev))
        if found.sha != commit:
            raise ValueError(f"{rev} is the name of another version; choose another --rev")

    def _create(self) -> str:
        self._ask(
            "create the repository",
            lambda: self._api.create_repo(self._name, repo_type=_KIND, private=not self._public, exist_ok=True),
        )
        return str(self._info().sha)

    def _info(self) -> Any:
        """Asked again before the commit: while files go up, somebody may make the repository public."""
        info = self._ask("look up", lambda: self._api.repo_info(self._name, repo_type=_KIND))
        if not info.private and not self._public:
            raise ValueError("the repository is public: publish there with --public")
        return info

    def _validate(self, card: Path | bytes) -> None:
        assert isinstance(card, bytes)
        text = card.decode()

        def attempt() -> None:
            try:
                DatasetCard(text).validate()
            except ValueError as error:
                raise ValueError(f"the Hub refuses the card: {_refusals(str(error))}") from None

        self._ask("check the card", attempt)

    def _upload(self, additions: list[Any]) -> None:
        """One file at a time, so that a log shows how far it is. `huggingface_hub` repeats requests by itself here."""
        for number, addition in enumerate(additions, start=1):
            path, size = addition.path_in_repo, addition.upload_info.size
            log.info("%s: upload %d of %d, %s, %.1f MB", self._name, number, len(additions), path, size / 1e6)
            upload = partial(self._api.preupload_lfs_files, self._name, [addition], repo_type=_KIND)
            self._ask(f"upload {path}", upload, waits_s=())

    def _stale(self, parent_commit: str, package: Package) -> list[str]:
        """Files of the version before that the new one does not have: data files, and what its manifest names."""
        old = self.manifest(parent_commit)
        there = self._ask(
            "list files", lambda: self._api.list_repo_files(self._name, repo_type=_KIND, revision=parent_commit)
        )
        ours = {path for path in there if path.startswith(_DATA)} | set(old.files if old else {})
        return sorted((ours & set(there)) - set(package.contents))

    def _ask(self, what: str, call: Callable[[], Result], waits_s: Sequence[float] = WAITS_S) -> Result:
        try:
            return patiently(what, call, waits_s)
        except RuntimeError as error:  # of Xet, the storage of the Hub
            raise ValueError(f"{what}: {error}; run again, nothing is done twice") from error


def _refusals(answer: str) -> str:
    """What the Hub's validation says, out of its JSON."""
    try:
        return "; ".join(error["message"] for error in json.loads(answer)["errors"])
    except (ValueError, KeyError, TypeError):
        return answer
