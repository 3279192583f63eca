"""What datasets were made from, as DVC knows it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.shared.cards.recipe import portable
from stages.shared.hub.hub_folder import holding


@dataclass(frozen=True)
class Lineage:
    """The versions of everything that went into an out, from `dvc.lock`."""

    stage: str
    """The stage that wrote it, as DVC addresses it."""
    deps: dict[str, str]
    """MD5 of each dep of that stage, by path; of a folder it ends in `.dir`."""
    inputs: dict[str, str]
    """MD5 of what no stage wrote, of this stage and all before it: data, prompts and code, by path."""
    params: dict[str, Any]
    """The sections of the params file of this stage and all before it."""
    sources: dict[str, str]
    """The commit of each repository of the Hub among the inputs, by name; several with commas between them."""


def reproduced(root: Path, folder: str, name: str, beside: Path) -> dict[str, Lineage]:
    """Follow the outs of `folder` back to what no stage wrote.

    Args:
        root: the repository, which is the current directory.
        folder: path that ends in a slash.
        name: of one out in the folder, or `all`.
        beside: another out, which is checked too where a stage writes it.

    Returns:
        The lineage of each out, by its name in the folder, sorted.

    Raises:
        ValueError: no such out; or of it, or of anything before it, a file, a knob or a command that is missing or is
            not what `dvc.lock` says.
    """
    with _opened(root) as repo:
        stages = [stage for stage in repo.index.stages if not stage.is_data_source]
        writer = {_path(out, root): stage for stage in stages for out in stage.outs}
        names = sorted(path.removeprefix(folder) for path in writer if path.startswith(folder))
        if name != "all" and name not in names:
            raise ValueError(f"no dataset {name!r}: expected all or one of {', '.join(names)}")
        chosen = [found for found in names if name in {"all", found}]
        checked = [*(folder + found for found in chosen), *({beside.as_posix()} & writer.keys())]
        addresses = sorted({writer[path].addressing for path in checked})
        for stage, changes in repo.status(targets=addresses, with_deps=True).items():
            raise ValueError(f"{stage} does not match dvc.lock ({_first(changes)}): run `dvc repro` or `dvc pull`")
        return {found: _lineage(root, writer, writer[folder + found]) for found in chosen}


@contextmanager
def held(root: Path, paths: Iterable[Path]) -> Iterator[None]:
    """Let no `dvc repro` write these outs; it says that they are busy. A process that is killed holds them no longer.

    Raises:
        ValueError: one is being written.
    """
    from dvc.rwlock import rwlock  # noqa: PLC0415  # takes 0.3 s

    with _opened(root) as repo:
        read = [str(root / path) for path in paths]
        hardlink = repo.config["core"].get("hardlink_lock", False)
        with rwlock(repo.tmp_dir, repo.fs, "publish", read=read, write=[], hardlink=hardlink):
            yield


def _lineage(root: Path, writer: Mapping[str, Any], last: Any) -> Lineage:
    inputs: dict[str, str] = {}
    params: dict[str, Any] = {}
    paths: set[str] = set()
    todo, seen = [last], {last.addressing}
    while todo:
        stage = todo.pop()
        for values in _params(stage):
            params |= values
        for path, md5 in _md5(stage, root).items():
            paths.add(path)
            before = writer.get(path)
            if before is None:
                inputs[path] = md5
            elif before.addressing not in seen:
                seen.add(before.addressing)
                todo.append(before)
    return Lineage(
        last.addressing, _portable(_md5(last, root)), _portable(inputs), _portable(params), _sources(root, paths)
    )


@contextmanager
def _opened(root: Path) -> Iterator[Any]:
    from dvc.exceptions import DvcException  # noqa: PLC0415  # takes 0.3 s
    from dvc.repo import Repo  # noqa: PLC0415

    try:
        with Repo(str(root)) as repo:
            yield repo
    except DvcException as error:
        raise ValueError(f"dvc: {error}") from error


def _path(item: Any, root: Path) -> str:
    """The path of a dep or an out in the repository; of one elsewhere the whole."""
    path = Path(item.fs_path)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _md5(stage: Any, root: Path) -> dict[str, str]:
    return {_path(dep, root): str(dep.hash_info.value) for dep in stage.deps if not hasattr(dep, "params")}


def _params(stage: Any) -> list[dict[str, Any]]:
    return [dep.hash_info.value for dep in stage.deps if hasattr(dep, "params")]


def _portable(value: Any) -> Any:
    """A value without the places of this machine: of an absolute path only the name is told, numbered where needed."""
    if isinstance(value, Mapping):
        named: dict[Any, Any] = {}
        # The paths of the repository keep their names.
        for key, item in sorted(value.items(), key=lambda pair: (portable(pair[0]) != pair[0], pair[0])):
            names = (portable(key), *(f"{portable(key)} ({number})" for number in range(2, len(value) + 1)))
            named[next(name for name in names if name not in named)] = _portable(item)
        return named
    if isinstance(value, list):
        return [_portable(item) for item in value]
    return portable(value)


def _sources(root: Path, paths: Iterable[str]) -> dict[str, str]:
    commits: dict[str, set[str]] = {}
    for found in (holding(root / path) for path in sorted(paths) if path.startswith("data/hub/")):
        if found:
            commits.setdefault(found[1].repo, set()).add(found[1].commit)
    return {repo: ", ".join(sorted(known)) for repo, known in commits.items()}


def _first(changes: list[Any]) -> str:
    """The first of the changes that DVC tells of a stage, in words."""
    change = changes[0]
    if not isinstance(change, Mapping):
        return str(change)
    what, items = next(iter(change.items()))
    path, state = next(iter(items.items()))
    if isinstance(state, Mapping):
        path, state = next(iter(state.items()))
    return f"{what}: {path} {state}"
