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
    url = _git(root, "remote", "get-url", "origin").strip() if "origin" in remotes else None
    return Checkout(revision, date[:4], tags, url and public_address(url))


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
