"""Fetch files of a repository of the Hub at a pinned revision.

Reads the entry `name` of the section `fetch`; writes a folder with the files as the Hub lays them out, and a note of
what they are (`revision.json`).
"""

import logging
import re
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
from stages.shared.settings import project_root

log = logging.getLogger("fetch")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ABBREVIATED = re.compile(r"[0-9a-f]{7,39}")
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


def pinned(wanted: Repository, root: Path) -> str:
    """The commit of a revision: the one on record, else what the Hub says now, which goes on record.

    Raises:
        ValueError: an abbreviation of several commits.
        OSError, httpx2.HTTPError: as `huggingface_hub` says it.
    """
    if _COMMIT.fullmatch(wanted.revision):
        return wanted.revision
    asked = f"{wanted.kind}/{wanted.repo}@{wanted.revision}#{wanted.refresh}"
    return recorded(root).get(asked) or record(root, asked, _resolved(wanted))


def _resolved(wanted: Repository) -> str:
    from huggingface_hub import HfApi, is_offline_mode  # noqa: PLC0415  # takes 0.3 s

    api, repo, kind, revision = HfApi(), wanted.repo, wanted.kind, wanted.revision
    if is_offline_mode():
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


def run(fetch: Repositories, *, name: str, folder: Path) -> stage.Metrics:
    """Fetch one repository."""
    if name not in fetch.root:
        raise ValueError(f"params.yaml: the section 'fetch' has no entry '{name}'")
    wanted, root = fetch.root[name], project_root()
    hub_environment.prepare(root)
    where = f"{wanted.kind} {wanted.repo} at {wanted.revision}"
    with explained(where, "`dvc pull` brings what was pushed"), replacing(folder) as partial:
        commit = pinned(wanted, root)
        partial.mkdir()
        files = download(wanted.kind, wanted.repo, commit, wanted.files, partial)
        for path in files:
            # Also in a folder: `holding` would take it for the note of that folder.
            if PurePosixPath(path).name == NOTE:
                raise ValueError(f"{path} of the repository has the name of the note that this stage writes")
        note = HubFolder(
            repo=wanted.repo,
            kind=wanted.kind,
            revision=wanted.revision,
            commit=commit,
            license=card_license(partial / "README.md"),
            files=files,
        )
        note.write(partial)
        n_bytes = sum((partial / path).stat().st_size for path in files)
    told = note.license or "not named"
    log.info("%s at %s: %d files, %.1f MB, licence %s", note.repo, commit, len(files), n_bytes / 1e6, told)
    return {
        "repo": note.repo,
        "revision": note.revision,
        "commit": commit,
        "license": note.license,
        "files": len(files),
        "bytes": n_bytes,
    }


if __name__ == "__main__":
    stage.main(run)
