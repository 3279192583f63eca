"""Published versions in a dataset repository of the Hub: a commit for each, and tags.

Imports `huggingface_hub`, which reads the environment then: `hub_environment.prepare` comes before.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from stages.commands.publishing.card import Place
from stages.commands.publishing.checkout import public_address
from stages.commands.publishing.dataset_folder import DATA
from stages.commands.publishing.hub_card import check_card
from stages.commands.publishing.manifest import NAME, Manifest, parse
from stages.commands.publishing.target import Package, State, matching, published
from stages.shared.hub.retry import WAITS_S, patiently

log = logging.getLogger("publish")
Result = TypeVar("Result")
_KIND = "dataset"
_TAKEN, _MOVED = 409, 412
"""Statuses of the Hub: a repository or a tag that exists; a branch that is not at the parent commit."""
_MADE_BY_THE_HUB = frozenset({".gitattributes"})
"""What a repository has when it is created."""


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
        tags = {tag.name: tag.target_commit for tag in refs.tags}
        found = self.manifest(head)
        version = published(head, found, tags, self.manifest) if found else head
        return State(head, found, tags, version, self._files(head))

    def manifest(self, commit: str) -> Manifest | None:
        """Of the files at a commit."""
        try:
            found = self._ask(
                "read the manifest",
                lambda: hf_hub_download(self._name, NAME, repo_type=_KIND, revision=commit),
            )
        except RemoteEntryNotFoundError:
            return None
        return parse(Path(found).read_bytes())

    def files(self, commit: str, patterns: Collection[str]) -> dict[str, Path]:
        """Downloaded into the cache, which is empty when a run begins."""
        found = self._ask(
            "download",
            lambda: snapshot_download(self._name, repo_type=_KIND, revision=commit, allow_patterns=[*patterns]),
        )
        return matching(Path(found), patterns)

    def check(self, package: Package) -> None:
        """Whether the Hub takes the card."""
        card = package.files["README.md"]
        assert isinstance(card, bytes)
        self._ask("check the card", partial(check_card, card.decode()))

    def commit(self, package: Package, parent: State) -> str:
        """Upload the files, then make them a version by one commit on top of `parent`.

        An upload alone changes nothing that can be seen. Whether a commit whose answer was lost was made is read from
        the main branch before it is tried again.

        Raises:
            ValueError: another commit came in between.
        """
        parent_commit = parent.commit or self._create()
        if parent.commit is None and not self._files(parent_commit) <= _MADE_BY_THE_HUB:
            return self._same(parent_commit, package)
        additions = [CommitOperationAdd(path, content) for path, content in package.contents.items()]
        self._upload([addition for addition in additions if addition.path_in_repo.startswith(DATA)])
        deletions = [CommitOperationDelete(path) for path in package.deletions]

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
            return self._same(head, package)

        return self._ask("commit", attempt)

    def tag(self, rev: str, commit: str) -> None:
        """Make a tag; one that is there stays where it is."""

        def attempt() -> str | None:
            try:
                self._api.create_tag(self._name, tag=rev, revision=commit, repo_type=_KIND)
            except HfHubHTTPError as error:
                if error.response.status_code != _TAKEN:
                    raise
                return error.server_message or ""
            return None

        refused = self._ask("tag", attempt)
        try:
            found = self._ask("look up the tag", lambda: self._api.repo_info(self._name, repo_type=_KIND, revision=rev))
        except RevisionNotFoundError:
            if refused is None:
                raise
            raise ValueError(f"the Hub refuses the tag {rev} ({_TAKEN} {refused}); choose another --rev") from None
        if found.sha != commit:
            raise ValueError(f"{rev} is the name of another version; choose another --rev")

    def _create(self) -> str:
        def attempt() -> None:
            try:
                self._api.create_repo(self._name, repo_type=_KIND, private=not self._public)
            except HfHubHTTPError as error:
                # Somebody was faster, or this run was and the answer was lost.
                if error.response.status_code != _TAKEN:
                    raise

        self._ask("create the repository", attempt)
        return str(self._info().sha)

    def _same(self, head: str, package: Package) -> str:
        """The head of the main branch, where it is the version of the package."""
        found = self.manifest(head)
        if found is None or found.identity != package.manifest.identity:
            raise ValueError("another commit came in between; run again")
        return head

    def _files(self, commit: str) -> frozenset[str]:
        listed = self._ask(
            "list files", lambda: self._api.list_repo_files(self._name, repo_type=_KIND, revision=commit)
        )
        return frozenset(listed)

    def _info(self) -> Any:
        """Asked again before the commit: while files go up, somebody may make the repository public."""
        info = self._ask("look up", lambda: self._api.repo_info(self._name, repo_type=_KIND))
        if not info.private and not self._public:
            raise ValueError("the repository is public: publish there with --public")
        return info

    def _upload(self, additions: list[Any]) -> None:
        """One file at a time, so that a log shows how far it is. `huggingface_hub` repeats requests by itself here."""
        for number, addition in enumerate(additions, start=1):
            path, size = addition.path_in_repo, addition.upload_info.size
            log.info("%s: upload %d of %d, %s, %.1f MB", self._name, number, len(additions), path, size / 1e6)
            upload = partial(self._api.preupload_lfs_files, self._name, [addition], repo_type=_KIND)
            self._ask(f"upload {path}", upload, waits_s=())

    def _ask(self, what: str, call: Callable[[], Result], waits_s: Sequence[float] = WAITS_S) -> Result:
        try:
            return patiently(what, call, waits_s)
        except RuntimeError as error:
            if isinstance(error.__cause__, HfHubHTTPError):  # the answer to an upload
                raise error.__cause__ from None
            # Of Xet, the storage of the Hub.
            raise ValueError(f"{what}: {error.__cause__ or error}; run again, nothing is done twice") from error
