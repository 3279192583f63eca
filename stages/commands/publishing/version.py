"""Plan a version of a dataset, and carry the plan out."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stages.commands.publishing.card import Release, completed
from stages.commands.publishing.checkout import Checkout
from stages.commands.publishing.dataset_folder import DatasetFolder
from stages.commands.publishing.difference import Difference, difference
from stages.commands.publishing.lineage import Lineage
from stages.commands.publishing.manifest import FORMAT, Manifest, described, identity, tools
from stages.commands.publishing.read_back import check_files, check_rows
from stages.commands.publishing.shards import regrouped
from stages.commands.publishing.target import Package, State, Target
from stages.commands.publishing.trainer_configs import trainer_configs
from stages.commands.publishing.training import Training


@dataclass(frozen=True)
class Source:
    """What is to be published, and under which names."""

    dataset: DatasetFolder
    repository: str
    rev: str
    checkout: Checkout
    lineage: Lineage
    training: Training | None
    """What trainers have to know; None for a dataset that is not made to train on."""

    def trainers(self, repository: str, revision: str | None) -> dict[str, str]:
        """Texts of the trainer configurations, by path."""
        if self.training is None:
            return {}
        return trainer_configs(repository, revision, self.training, self.dataset.rows)

    @cached_property
    def identity(self) -> str:
        """What makes another version equal to this one, see `manifest.identity`."""
        return identity(self.dataset.hashes, self.dataset.card, self.trainers("repository", "rev"))


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
            return [f"{what}, the first version"]
        before = ", ".join(self.state.revs()) or "main"
        return [f"{what}, after {before}", *self.difference.lines()]


def plan(source: Source, target: Target, scratch: Path) -> Plan:
    """Compare a source with what its target holds. Regrouped files are written to `scratch`.

    Raises:
        ValueError: the name is taken by other content.
    """
    state = target.state()
    if source.rev in state.tags:
        commit = state.tags[source.rev]
        there = target.manifest(commit)
        if there is None or there.identity != source.identity:
            raise ValueError(f"{source.rev} is there with other content; a version never changes: choose another --rev")
        return Plan(source, state, commit, tagged=True)
    if state.manifest and state.manifest.identity == source.identity:
        return Plan(source, state, state.version)
    files = regrouped(source.dataset.files, scratch)
    old = _data_files(target.files(state.commit, data_only=True)) if state.commit and state.manifest else {}
    rows = difference(old, files)
    return Plan(source, state, package=_package(source, target, state, files, rows), difference=rows)


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
    check_files(target.files(commit), manifest)
    if not planned.tagged:
        target.tag(source.rev, commit)
    check_rows(target.place(source.rev), source.dataset)


def _package(source: Source, target: Target, state: State, files: Mapping[str, Path], rows: Difference) -> Package:
    place = target.place(source.rev)
    dataset, before = source.dataset, state.manifest
    changes = rows.changes if before else None
    history = before.former(state.revs()) if before else []
    trainers = source.trainers(place.name, place.revision)
    release = Release(
        repository=source.repository,
        rev=source.rev,
        place=place,
        checkout=source.checkout,
        lineage=source.lineage,
        rows=sum(dataset.rows.values()),
        changes=changes,
        history=history,
        trainers=list(trainers),
    )
    size = sum(file.stat().st_size for file in files.values())
    texts = {"README.md": completed(dataset.card, release, size), **trainers}
    written = {path: text.encode() for path, text in texts.items()}
    contents: dict[str, Path | bytes] = {**files, **dataset.others, **written}
    manifest = Manifest(
        format=FORMAT,
        variant=dataset.variant,
        rev=source.rev,
        identity=source.identity,
        rows=dataset.rows,
        files={path: described(content) for path, content in contents.items()},
        schema="\n".join(f"{column.name}: {column.type}" for column in dataset.schema),
        git_revision=source.checkout.revision,
        stage=source.lineage.stage,
        deps=source.lineage.deps,
        inputs=source.lineage.inputs,
        params=source.lineage.params,
        sources=source.lineage.sources,
        tools=tools(),
        changes=changes,
        history=history,
    )
    return Package(manifest, contents)


def _data_files(folder: Path) -> dict[str, Path]:
    return {file.relative_to(folder).as_posix(): file for file in sorted((folder / "data").glob("*.parquet"))}
