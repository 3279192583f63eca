"""Publish datasets to the Hugging Face Hub, or to a local folder.

A version is one commit with data, card and manifest, and a tag. A version that is there already is only checked.
"""

import argparse
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import Field

from stages.commands.publishing.checkout import clean_checkout, is_ignored
from stages.commands.publishing.dataset_folder import DatasetFolder, dataset_folder
from stages.commands.publishing.lineage import held, reproduced
from stages.commands.publishing.local_folder import LocalFolder
from stages.commands.publishing.source import Source
from stages.commands.publishing.target import Target
from stages.commands.publishing.training import LENGTHS, training_of
from stages.commands.publishing.version import Plan, TakenError, carry_out, plan
from stages.shared import stage
from stages.shared.hub import hub_environment
from stages.shared.hub.hub_errors import explained
from stages.shared.settings import number, project_root

log = logging.getLogger("publish")
DATASETS = Path("data/datasets")
PUBLISHED = Path("data/published")
_REV = re.compile(r"(?!.*\.\.)[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?(?<!\.lock)")
"""What git takes for a tag, too: it wants no `..`, no dot at the end and no `.lock`."""
_HASH = re.compile(r"[0-9a-f]{7,40}")
_ORG = r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9])?$"
_TIMEOUT_S = 120.0
_SPECIFICATIONS = "synthetic-tasks"
"""The variant without rollouts."""


class Params(stage.Params):
    """The params section `publish`, which no stage reads."""

    org: str | None = Field(pattern=_ORG)
    """User or organisation on the Hub; null publishes to a local folder."""
    model: str = Field(pattern=r"^[a-z0-9]+([_.-][a-z0-9]+)*$")
    """The model that wrote the rollouts, as the names on the Hub tell it."""


def repository_name(variant: str, model: str) -> str:
    """The name of a variant's repository, without its owner."""
    if variant == _SPECIFICATIONS:
        return "kernelbook-synthetic-tasks"
    return f"kernelbook-{model}-evals" + ("" if variant == "evals" else f"-{variant}")


def arguments(words: list[str]) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m stages publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variant", help="name of a folder in data/datasets, or all")
    parser.add_argument("--rev", required=True, help="name of the version, which becomes a tag, such as v1")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--to", type=Path, metavar="DIR", help="publish to DIR/<repository>/<rev> instead of the Hub")
    where.add_argument("--org", help="user or organisation on the Hub, instead of publish.org in params.yaml")
    parser.add_argument("--public", action="store_true", help="make the repository public; it is private without")
    parser.add_argument(
        "--replace", action="store_true", help="let a first version overwrite or delete files that the repository has"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and publish nothing")
    return parser.parse_args(words)


def main(words: list[str]) -> None:
    """Publish the variants that the words name."""
    options = arguments(words)
    if not _REV.fullmatch(options.rev) or _HASH.fullmatch(options.rev) or options.rev == "main":
        raise ValueError(f"--rev: expected a name such as v1 (letters, digits, . _ -; no hash), got {options.rev!r}")
    if options.org is not None and not re.fullmatch(_ORG, options.org):
        raise ValueError(f"--org: expected the name of a user or an organisation on the Hub, got {options.org!r}")
    if options.to and options.public:
        raise ValueError("--public: expected with a repository of the Hub, not with --to")
    root = project_root()
    params = stage.read_section("publish", Params, root / stage.PARAMS_FILE)
    if options.to and not is_ignored(root, options.to):
        raise ValueError(f"--to {options.to}: git would see it, and the next run a dirty tree; take a folder elsewhere")
    checkout = clean_checkout(root)
    if not checkout.pushed:
        log.info("no branch of origin that this clone knows has %s: push it, the card cites it", checkout.revision[:12])
    read = DATASETS if options.variant == "all" else DATASETS / options.variant
    with held(root, [read, LENGTHS]), TemporaryDirectory(prefix="publish-") as scratch:
        made = reproduced(root, f"{DATASETS.as_posix()}/", options.variant, beside=LENGTHS)
        datasets = with_rows(root, made)
        caches = {"HF_HUB_CACHE": f"{scratch}/hub", "HF_DATASETS_CACHE": f"{scratch}/datasets"}
        timeout_s = number(hub_environment.prepare(root, **caches), "PUBLISH_TIMEOUT_S", positive=True) or _TIMEOUT_S
        names = {variant: repository_name(variant, params.model) for variant in datasets}
        sources = {}
        for variant, dataset in datasets.items():
            model = None if variant == _SPECIFICATIONS else params.model
            lineage, training = made[variant], training_of(root, variant)
            sources[variant] = Source(dataset, names[variant], options.rev, checkout, lineage, training, model)
        _publish(sources, _targets(root, options, params, names, timeout_s), Path(scratch), options)


def _publish(
    sources: Mapping[str, Source], targets: Mapping[str, Target], scratch: Path, options: argparse.Namespace
) -> None:
    plans: dict[str, Plan] = {}
    taken: list[str] = []
    # All are looked at before the first is published.
    for variant, source in sources.items():
        target = targets[variant]
        with explained(target.where):
            try:
                plans[variant] = plan(source, target, scratch / variant, replace=options.replace)
            except TakenError as error:
                taken.append(f"{target.where}: {error}")
    if taken and plans:
        log.info("left out, the others go on: %s", "; ".join(taken))
    for variant, planned in plans.items():
        target = targets[variant]
        _tell(target.where, planned.lines())
        if not options.dry_run:
            with explained(target.where):
                carry_out(planned, target)
            _tell(target.where, [f"{options.rev} is there, and reads back as the files here"])
    if options.dry_run:
        log.info("dry run: nothing was published")
    if taken:
        raise ValueError("; ".join(taken))


def with_rows(root: Path, variants: Collection[str]) -> dict[str, DatasetFolder]:
    """The datasets that have rows; of several, those without are named and left out.

    Raises:
        ValueError: none has.
    """
    found = {variant: dataset_folder(variant, root / DATASETS / variant) for variant in variants}
    empty = [variant for variant, dataset in found.items() if dataset is None]
    if len(empty) == len(found):
        raise ValueError(f"{', '.join(empty)}: no rows, so there is nothing to publish")
    if empty:
        log.info("not published, because they have no rows: %s", ", ".join(empty))
    return {variant: dataset for variant, dataset in found.items() if dataset is not None}


def _targets(
    root: Path, options: argparse.Namespace, params: Params, names: Mapping[str, str], timeout_s: float
) -> dict[str, Target]:
    # huggingface_hub reads the environment when it is imported.
    from huggingface_hub import get_token  # noqa: PLC0415

    from stages.commands.publishing.hub_client import set_timeout  # noqa: PLC0415
    from stages.commands.publishing.hub_repository import HubRepository  # noqa: PLC0415

    org = options.org or params.org
    if org and options.to is None:
        if get_token():
            set_timeout(timeout_s)
            return {variant: HubRepository(f"{org}/{name}", public=options.public) for variant, name in names.items()}
        log.info("HF_TOKEN is not set: publishing to the folder %s instead of %s on the Hub", PUBLISHED, org)
    folder = options.to or root / PUBLISHED
    return {variant: LocalFolder(folder / name) for variant, name in names.items()}


def _tell(where: str, lines: Sequence[str]) -> None:
    for line in lines:
        log.info("%s: %s", where, line)
