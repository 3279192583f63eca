import json
from pathlib import Path

import pytest

from stages.shared.formats.rows_file import read_rows
from stages.shared.hub.hub_folder import NOTE, HubFolder, holding

BASE = HubFolder("org/base", "dataset", "main", "c" * 40, "mit", {"data/train.jsonl": "0" * 64})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`org/base` as it is fetched."""
    folder = tmp_path / "hub" / "base"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train.jsonl").write_text('{"n": 1}\n[]\n')
    BASE.write(folder)
    return folder


def test_the_note_is_sorted_json(folder: Path) -> None:
    expected = {
        "repo": "org/base",
        "kind": "dataset",
        "revision": "main",
        "commit": "c" * 40,
        "license": "mit",
        "files": {"data/train.jsonl": "0" * 64},
    }
    assert (folder / NOTE).read_text() == json.dumps(expected, indent=2, sort_keys=True) + "\n"


def test_the_folder_and_what_is_in_it_are_held_by_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (folder, folder / "data", folder / "data" / "train.jsonl", folder / NOTE):
        assert holding(path) == (folder, BASE)
    monkeypatch.chdir(folder.parent)
    assert holding(Path("base/data")) == (Path("base"), BASE)


@pytest.mark.parametrize("note", [None, "{", "[]", '{"revision": 3}', '{"commit": "c", "repo": "org/base"}'])
def test_a_folder_without_such_a_note_is_not_from_the_hub(folder: Path, note: str | None) -> None:
    (folder / NOTE).unlink()
    if note is not None:
        (folder / NOTE).write_text(note)
    assert holding(folder / "data") is None
    assert holding(folder.parent / "none") is None


@pytest.mark.parametrize("path", [".", "data", "data/train.jsonl"])
def test_rows_name_the_repository_and_the_commit(folder: Path, path: str) -> None:
    """Also those that could not be read."""
    told = [(row.file, row.line, row.revision, row.value, row.problem) for row in read_rows(folder / path)]
    source = "org/base/data/train.jsonl"
    assert told == [
        (source, 1, "c" * 40, {"n": 1}, None),
        (source, 2, "c" * 40, None, "expected a JSON object"),
    ]


def test_the_note_is_no_row(folder: Path) -> None:
    (folder / "data" / "train.jsonl").rename(folder / "rows.json")
    assert [row.file for row in read_rows(folder)] == ["org/base/rows.json"] * 2
