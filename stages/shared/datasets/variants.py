"""The datasets that are built from one selection of rows."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, RootModel, StringConstraints

from stages.shared.stage import Params


class Variant(Params):
    """One published dataset."""

    rows: Literal["kept", "unique"]
    """All kept rows, or the best row of each `dedupe.key`."""
    reasoning: bool
    """Publish the completion with its reasoning, or the answer alone."""


_TAKEN = frozenset({"split", "evals", "synthetic-tasks"})


def _free(name: str) -> str:
    if name in _TAKEN:
        raise ValueError(f"the name {name} is taken by a column of the selection or by another dataset")
    return name


Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$"), AfterValidator(_free)]


class Variants(RootModel[dict[Name, Variant]]):
    """The params section `variants`, by dataset name."""

    model_config = ConfigDict(frozen=True)
