"""What is published: a dataset, and what it is called."""

from dataclasses import dataclass
from functools import cached_property

from stages.commands.publishing.checkout import Checkout
from stages.commands.publishing.dataset_folder import DatasetFolder
from stages.commands.publishing.lineage import Lineage
from stages.commands.publishing.manifest import identity
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
    model: str | None
    """That wrote the rollouts; None for a dataset that has none."""

    def trainers(self, repository: str, revision: str | None) -> dict[str, str]:
        """Texts of the trainer configurations, by path."""
        if self.training is None:
            return {}
        return trainer_configs(repository, revision, self.training, self.dataset.rows)

    @cached_property
    def identity(self) -> str:
        """What makes another version equal to this one, see `manifest.identity`."""
        return identity(self.dataset.hashes, self.dataset.card, self.trainers("repository", "rev"))
