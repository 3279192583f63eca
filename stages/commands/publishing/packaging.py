"""Put the files of a new version together: data, card, trainer configurations and manifest."""

from collections.abc import Mapping
from pathlib import Path

from stages.commands.publishing.card import Place, Release, completed
from stages.commands.publishing.dataset_folder import DATA
from stages.commands.publishing.manifest import FORMAT, NAME, Changes, Manifest, described, tools
from stages.commands.publishing.source import Source
from stages.commands.publishing.target import Package, State


def packaged(source: Source, place: Place, state: State, files: Mapping[str, Path], against: Changes) -> Package:
    """All files of a new version, with card and manifest.

    Args:
        source: what is published.
        place: where it will be found.
        state: what is there now.
        files: the data files, by their path in the dataset.
        against: rows that it has, or has not, against the current version.
    """
    dataset, before = source.dataset, state.manifest
    changes = against if before else None
    history = before.former(state.revs()) if before else []
    if before and before.identity == source.identity:
        # It got no tag, and does not hold what it says: the new commit takes its place.
        changes, history = before.changes, before.history
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
        model=source.model,
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
    ours = {path for path in state.files if path.startswith(DATA)} | set(before.files if before else {})
    return Package(manifest, contents, sorted((ours & state.files) - contents.keys() - {NAME}))
