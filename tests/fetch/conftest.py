"""A Hub on this machine, and a folder in which the stage `fetch` runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fetch.fetch_run import FetchRun
from tests.hub_server import HubServer


@pytest.fixture
def fetch(tmp_path: Path) -> Iterator[FetchRun]:
    with HubServer(tmp_path / "hub") as hub:
        yield FetchRun(tmp_path / "run", hub)
