"""Fetch files of a repository of the Hub at a pinned revision.

Reads the entry `name` of the section `fetch`; writes a folder with the files as the Hub lays them out, and a note of
what they are (`revision.json`). It has no metrics: DVC deletes those of an entry that is taken out, also from git.
"""

import logging
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Annotated

import yaml
from pydantic import ConfigDict, Field, RootModel, StringConstraints

from stages.fetch.revisions import record, recorded
from stages.fetch.snapshot import download
from stages.shared import stage
from stages.shared.atomic import replacing
from stages.shared.hub import hub_environment
from stages.shared.hub.hub_errors import explained
from stages.shared.hub.hub_folder import NOTE, HubFolder, Kind
from stages.shared.hub.retry import patiently
from stages.shared.settings import project_root

log = logging.getLogger("fetch")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ABBREVIATED = re.compile(r"[0-9a-f]{7,39}")
_WAITS_S = (1.0, 2.0, 4.0)
"""Between attempts: `huggingface_hub` tries each file again by itself."""
_HEADER = re.compile(r"---\s*\n(.*?)\n---", re.DOTALL)


class Repository(stage.Params):
    """What to fetch from one repository."""

    repo: str = Field(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")
    """`owner/name` on the Hub."""
    kind: Kind
    """What the repository is on the Hub; a tokenizer is in that of a model."""
    revision: str = Field(min_length=1)
    """A branch, a tag, or a commit, of which seven digits are enough on the main branch."""
    files: list[Annotated[str, StringConstraints(min_length=1)]] = Field(min_length=1)
    """Paths in the repository, or patterns of them, in which `*` stands for slashes too."""
    refresh: int = Field(ge=0)
    """Another number asks the Hub again which commit a branch or a tag is."""


class Repositories(RootModel[dict[stage.EntryName, Repository]]):
    """The params section `fetch`, by the name of the folder."""

    model_config = ConfigDict(frozen=True)


def fetched(wanted: Repository, root: Path, target: Path) -> HubFolder:
    """Download into the new folder `target` at the commit on record, else at the one that the Hub says now.

    What the Hub says goes on record when the files are there: a run that fails leaves the revision open.

    Raises:
        ValueError: several commits for an abbreviation, none without a network, or no such files.
        OSError, httpx2.HTTPError: as `huggingface_hub` says it.
    """
    if _COMMIT.fullmatch(wanted.revision):
        return _downloaded(wanted, wanted.revision, target)
    asked = f"{wanted.kind}/{wanted.repo}@{wanted.revision}#{wanted.refresh}"
    commit = recorded(root).get(asked) or patiently("resolve the revision", lambda: _resolved(wanted), _WAITS_S)
    note = _downloaded(wanted, commit, target)
    first = record(root, asked, commit)
    # Another run may have been faster, when the branch was elsewhere.
    return note if first == commit else _downloaded(wanted, first, target)


def _downloaded(wanted: Repository, commit: str, target: Path) -> HubFolder:
    """Fill the folder `target` anew; returns the note of what is in it."""

    def attempt() -> dict[str, str]:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        return download(wanted.kind, wanted.repo, commit, wanted.files, target)

    files = patiently("download", attempt, _WAITS_S)
    for path in files:
        # Also in a folder: `holding` would take it for the note of that folder.
        if PurePosixPath(path).name == NOTE:
            raise ValueError(f"{path} of the repository has the name of the note that this stage writes")
    return HubFolder(
        repo=wanted.repo,
        kind=wanted.kind,
        revision=wanted.revision,
        commit=commit,
        license=card_license(target / "README.md"),
        files=files,
    )


def _resolved(wanted: Repository) -> str:
    from huggingface_hub import HfApi, is_offline_mode  # noqa: PLC0415  # takes 0.3 s

    api, repo, kind, revision = HfApi(), wanted.repo, wanted.kind, wanted.revision
    if is_offline_mode():
        if wanted.refresh:
            # What the cache knows is what another number has asked for.
            raise ValueError(f"refresh {wanted.refresh} asks the Hub, which needs the network: HF_HUB_OFFLINE is set")
        return api.resolve_revision(repo, repo_type=kind, revision=revision, local_files_only=True).resolved
    if _ABBREVIATED.fullmatch(revision):
        commits = [commit.commit_id for commit in api.list_repo_commits(repo, repo_type=kind)]
        found = [commit for commit in commits if commit.startswith(revision)]
        if len(found) > 1:
            raise ValueError(f"several commits begin with {revision}: {', '.join(found)}")
        if found:
            return found[0]
    return str(api.repo_info(repo, repo_type=kind, revision=revision).sha)


def card_license(card: Path) -> str | None:
    """The licence that the header of a repository's card names, several with commas between them; else None."""
    found = _HEADER.match(card.read_text(encoding="utf-8-sig", errors="replace")) if card.exists() else None
    try:
        header = yaml.safe_load(found[1]) if found else None
    except (yaml.YAMLError, ValueError, RecursionError):  # a date that is none, lists in lists without end
        return None
    if not isinstance(header, dict):
        return None
    given, own = header.get("license"), header.get("license_name")
    names = [own] if given == "other" and isinstance(own, str) else given if isinstance(given, list) else [given]
    texts = [name for name in names if isinstance(name, str) and name]
    return ", ".join(texts) if texts and len(texts) == len(names) else None


def run(fetch: Repositories, *, name: str, folder: Path) -> None:
    """Fetch one repository."""
    if name not in fetch.root:
        raise ValueError(f"params.yaml: the section 'fetch' has no entry '{name}'")
    wanted, root = fetch.root[name], project_root()
    hub_environment.prepare(root)
    where = f"{wanted.kind} {wanted.repo} at {wanted.revision}"
    with explained(where, "`dvc pull` brings what was pushed"), replacing(folder) as partial:
        note = fetched(wanted, root, partial)
        note.write(partial)
        n_bytes = sum((partial / path).stat().st_size for path in note.files)
    told = note.license or "not named"
    log.info("%s at %s: %d files, %.1f MB, licence %s", note.repo, note.commit, len(note.files), n_bytes / 1e6, told)


if __name__ == "__main__":
    stage.main(run)
