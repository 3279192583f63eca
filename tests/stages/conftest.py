"""Loading of the written datasets, as a user does it, and how properties are tried."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A busy machine is slow, not wrong; the same examples every time, and no folder beside the code.
settings.register_profile("stages", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("stages")
Load = Callable[[Path], Any]


@pytest.fixture(scope="session")
def load_offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    """`datasets.load_dataset` of a folder, without a network and with a cache of its own."""
    cache = tmp_path_factory.mktemp("huggingface")
    with pytest.MonkeyPatch.context() as patch:
        # Both are read when the packages are imported.
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(cache))
        import datasets  # noqa: PLC0415

        yield lambda folder: datasets.load_dataset(str(folder), cache_dir=str(cache))
