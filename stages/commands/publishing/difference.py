"""Which rows one version of a dataset has that another has not."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.commands.publishing.dataset_folder import keyed_hashes
from stages.commands.publishing.manifest import Changes
from stages.shared.cards.markdown import rows_text

_SHOWN = 5


@dataclass(frozen=True)
class Difference:
    """Identities of rows, in the order of the version that has them."""

    added: list[str]
    removed: list[str]
    changed: list[str]
    """The same identity with other content, or in another split."""

    @property
    def changes(self) -> Changes:
        """How many there are of each."""
        return Changes(len(self.added), len(self.removed), len(self.changed))

    def lines(self) -> list[str]:
        """What a person reads: a line for each kind of change, with the first few rows."""
        kinds = {"added": self.added, "removed": self.removed, "changed": self.changed}
        return [_line(what, keys) for what, keys in kinds.items()]


def difference(old: Mapping[str, Path], new: Mapping[str, Path]) -> Difference:
    """Compare two versions by the identity and the content of their rows.

    Args:
        old: data files of the version before, by path; empty where there is none.
        new: data files of the version to publish.
    """
    before, after = keyed_hashes(old), keyed_hashes(new)
    return Difference(
        added=[key for key, n in after if (key, n) not in before],
        removed=[key for key, n in before if (key, n) not in after],
        changed=[key[0] for key, content in after.items() if before.get(key, content) != content],
    )


def _line(what: str, keys: list[str]) -> str:
    shown = ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
    return f"{rows_text(len(keys))} {what}" + (f": {shown}" if keys else "")
