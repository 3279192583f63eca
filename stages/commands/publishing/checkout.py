"""The state of the git repository that a version is published from."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

_ADDRESS = re.compile(r"(https?|ssh|git)://[\w.~:/@%+=-]+|[\w.-]+@[\w.-]+:[\w.~/+-]+", re.ASCII)
"""Of another machine, in words that mean nothing to a shell or to Markdown."""


@dataclass(frozen=True)
class Checkout:
    """A clean commit."""

    revision: str
    """Full hash of the commit."""
    year: str
    """In which it was made."""
    tags: tuple[str, ...]
    """Names of the git tags on it."""
    url: str | None
    """Of the remote `origin`, as `public_address` gives it; None where there is none."""
    pushed: bool
    """Some branch of `origin` has the commit, as far as this clone knows; also where there is no `origin`."""


def clean_checkout(root: Path) -> Checkout:
    """The commit that is checked out.

    Raises:
        ValueError: no git repository, no commit, or a change that is in no commit.
    """
    changed = _git(root, "status", "--porcelain", "--untracked-files=normal").splitlines()
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise ValueError(f"the git tree is dirty ({changed[0].strip()}{more}): commit first, then publish")
    revision, date = _git(root, "show", "--no-patch", "--no-show-signature", "--format=%H %cs", "HEAD").split()
    tags = tuple(sorted(_git(root, "tag", "--points-at", "HEAD").split()))
    remotes = _git(root, "remote").split()
    if "origin" not in remotes:
        return Checkout(revision, date[:4], tags, None, pushed=True)
    url = _git(root, "remote", "get-url", "origin").strip()
    pushed = bool(_git(root, "branch", "--remotes", "--list", "origin/*", "--contains", revision).strip())
    return Checkout(revision, date[:4], tags, public_address(url), pushed=pushed)


def is_ignored(root: Path, folder: Path) -> bool:
    """Whether git sees nothing of what is written to a folder: it lies elsewhere, or is ignored."""
    inside = folder.resolve()
    if not inside.is_relative_to(root.resolve()):
        return True
    command = ["git", "check-ignore", "--quiet", str(inside / "file")]
    return subprocess.run(command, cwd=root, capture_output=True, check=False).returncode == 0  # noqa: S603


def public_address(url: str) -> str | None:
    """A URL as it may be published: without password, query and fragment, and over HTTP without a user.

    None for a place that only this machine knows, such as `/home/me/pipeline.git`.
    """
    parts = urlsplit(url)
    if parts.netloc:
        account, _, host = parts.netloc.rpartition("@")
        user = account.partition(":")[0] if parts.scheme not in {"http", "https"} else ""
        url = urlunsplit((parts.scheme, f"{user}@{host}" if user else host, parts.path, "", ""))
    return url if _ADDRESS.fullmatch(url) else None


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603, S607
    if done.returncode:
        last = (done.stderr.strip() or "failed").splitlines()[-1]
        raise ValueError(f"git {words[0]}: {last}")
    return done.stdout
