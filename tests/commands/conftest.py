"""What several tests of commands share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.small_project import SmallProject
from tests.hub_server import HubServer


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project with its datasets; tests work on a clone."""
    return SmallProject(tmp_path_factory.mktemp("small") / "project")


@pytest.fixture
def project(made: SmallProject, tmp_path: Path) -> SmallProject:
    return made.clone(tmp_path / "project")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer(tmp_path / "hub") as server:
        yield server
