import sys
from pathlib import Path

import pytest

from stages.shared.kernels.sandbox import readable


def test_of_a_home_only_the_folders_of_packages_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    packages, edited = home / ".local" / "site-packages", home / "edited"
    for folder in (packages, edited, elsewhere):
        folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", ["", "relative", *map(str, (tmp_path, home, packages, edited, elsewhere))])

    found = [path for path in readable.files([home], gpu=False) if path.is_relative_to(tmp_path)]

    assert found == [elsewhere, packages]


def test_what_lies_beneath_another_folder_is_not_named_again() -> None:
    found = readable.files([], gpu=False)

    assert Path(sys.base_prefix, "lib") in found
    assert [path for path in found for other in found if path != other and path.is_relative_to(other)] == []
