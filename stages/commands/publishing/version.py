"""Plan a version of a dataset, and carry the plan out."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from stages.commands.publishing.dataset_folder import DATA
from stages.commands.publishing.difference import Difference, difference
from stages.commands.publishing.manifest import NAME
from stages.commands.publishing.packaging import packaged
from stages.commands.publishing.read_back import DifferentError, check_files, check_rows, of_version
from stages.commands.publishing.shards import regrouped
from stages.commands.publishing.source import Source
from stages.commands.publishing.target import Package, State, Target

_SHOWN = 10


class TakenError(ValueError):
    """The name of the version belongs to other content."""

    def __init__(self, rev: str) -> None:
        super().__init__(f"{rev} is there with other content; a version never changes: choose another --rev")


@dataclass(frozen=True)
class Plan:
    """What has to happen so that a version is there."""

    source: Source
    state: State
    """What the target held when the plan was made."""
    found: str | None = None
    """The commit that is equal already."""
    package: Package | None = None
    """The files of a new commit, where none is equal."""
    difference: Difference | None = None
    """Against the current version."""
    tagged: bool = False
    """The equal commit has the name already."""

    def lines(self) -> list[str]:
        """What a person reads before it happens."""
        rev = self.source.rev
        if self.tagged:
            return [f"{rev} is there with the same content, nothing to upload"]
        if self.found:
            return [f"the same content is there as {', '.join(self.state.revs()) or 'main'}, {rev} is a tag more"]
        assert self.package
        assert self.difference
        counted = ", ".join(f"{n:,} {split}" for split, n in self.source.dataset.rows.items())
        size = sum(file.size for file in self.package.manifest.files.values())
        what = f"{rev}: {counted} rows, {len(self.package.contents)} files, {size / 1e6:.1f} MB"
        if self.state.manifest is None:
            return [f"{what}, the first version", *self.losses()]
        before = ", ".join(self.state.revs()) or "main"
        edited = [] if self.state.version == self.state.commit else [f"what was edited since {before} is overwritten"]
        return [f"{what}, after {before}", *self.difference.lines(), *edited, *self.losses()]

    def losses(self) -> list[str]:
        """What the main branch loses besides what the version before had."""
        assert self.package
        known = {*self.state.manifest.files, NAME} if self.state.manifest else set()
        foreign = self.state.files - known
        lost = {"overwrites": foreign & self.package.contents.keys(), "deletes": foreign & {*self.package.deletions}}
        own = sorted({*self.package.deletions} - foreign)
        return [
            *([f"no longer has {_some(own)}"] if own else []),
            *(f"{what} what no version here had: {_some(paths)}" for what, paths in lost.items() if paths),
        ]


def plan(source: Source, target: Target, scratch: Path, *, replace: bool = False) -> Plan:
    """Compare a source with what its target holds. Regrouped files are written to `scratch`.

    Args:
        source: what is to be published.
        target: where.
        scratch: a folder of its own.
        replace: files may be lost that were there before the first version.

    Raises:
        TakenError: the name is that of other content.
        ValueError: the target would refuse the version, or lose files.
    """
    state = target.state()
    before = state.manifest
    if source.rev in state.tags:
        commit = state.tags[source.rev]
        there = target.manifest(commit)
        if there is None or there.identity != source.identity:
            raise TakenError(source.rev)
        return Plan(source, state, commit, tagged=True)
    again = before is not None and before.identity == source.identity
    # A name without a tag: a run was killed before it made one, or somebody removed it.
    if before and source.rev in before.revs() and not (again and source.rev == before.rev):
        raise TakenError(source.rev)
    if again and _whole(state, target):
        return Plan(source, state, state.version)
    files = regrouped(source.dataset.files, scratch)
    rows = difference(_data_files(state, target), files)
    planned = Plan(
        source, state, package=packaged(source, target.place(source.rev), state, files, rows.changes), difference=rows
    )
    assert planned.package
    target.check(planned.package)
    if before is None and not replace and planned.losses():
        raise ValueError(f"{'; '.join(planned.losses())}; publish with --replace if that is meant")
    return planned


def carry_out(planned: Plan, target: Target) -> None:
    """Make the version, unless it is there, and read it back: its files by the commit, its rows by the tag.

    Raises:
        ValueError: another version came in between, or what is read back differs.
    """
    source = planned.source
    commit = planned.found
    if commit is None:
        assert planned.package
        commit = target.commit(planned.package, planned.state)
    manifest = target.manifest(commit)
    if manifest is None or manifest.identity != source.identity:
        raise ValueError(f"{commit} does not hold what was published")
    check_files(target.files(commit, of_version(manifest)), manifest)
    if not planned.tagged:
        target.tag(source.rev, commit)
    check_rows(target.place(source.rev), source.dataset)


def _data_files(state: State, target: Target) -> dict[str, Path]:
    if not (state.version and state.manifest):
        return {}
    return target.files(state.version, [path for path in state.manifest.files if path.startswith(DATA)])


def _whole(state: State, target: Target) -> bool:
    """Whether the current version is what its manifest says. One with a tag was read back before."""
    assert state.version
    assert state.manifest
    if state.revs():
        return True
    try:
        check_files(target.files(state.version, of_version(state.manifest)), state.manifest)
    except DifferentError:
        return False
    return True


def _some(paths: Collection[str]) -> str:
    return ", ".join(sorted(paths)[:_SHOWN]) + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")
