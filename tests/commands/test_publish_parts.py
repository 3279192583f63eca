"""What publishing is made of: comparing rows, fitting files into a commit, naming."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.commands.publish import main, repository_name
from stages.commands.publishing.checkout import public_address
from stages.commands.publishing.dataset_folder import batch_hashes, dataset_folder
from stages.commands.publishing.difference import difference
from stages.commands.publishing.manifest import FORMAT, Changes, File, Former, Manifest, described, identity, parse
from stages.commands.publishing.read_back import DifferentError, check_files
from stages.commands.publishing.shards import regrouped


def data_file(folder: Path, name: str, rows: Sequence[dict[str, Any]]) -> dict[str, Path]:
    """Write rows; returns the file by its path in the dataset."""
    path = f"data/{name}.parquet"
    (folder / "data").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / path)
    return {path: folder / path}


def manifest(**fields: Any) -> Manifest:
    """One of a version without anything but these fields."""
    texts = dict.fromkeys(("variant", "identity", "schema", "git_revision", "stage"), "")
    parts: dict[str, Any] = {name: {} for name in ("rows", "files", "deps", "inputs", "params", "sources", "tools")}
    empty = {"format": FORMAT, "rev": "v1", "changes": None, "history": [], **texts, **parts}
    return Manifest(**(empty | fields))


def test_rows_are_compared_by_identity_and_content(tmp_path: Path) -> None:
    """A row that only moves within its split is the same; in another split it has changed."""
    old = data_file(tmp_path / "old", "train-00000-of-00001", [{"row_id": name, "n": 1} for name in "abcd"])
    new = data_file(
        tmp_path / "new",
        "train-00000-of-00001",
        [{"row_id": "b", "n": 2}, {"row_id": "a", "n": 1}, {"row_id": "e", "n": 1}],
    ) | data_file(tmp_path / "new", "validation-00000-of-00001", [{"row_id": "d", "n": 1}])

    found = difference(old, new)

    assert (found.added, found.removed, found.changed) == (["e"], ["c"], ["b", "d"])
    assert found.lines() == ["1 row added: e", "1 row removed: c", "2 rows changed: b, d"]
    assert difference(old, old).lines() == ["0 rows added", "0 rows removed", "0 rows changed"]


def test_a_row_that_has_no_number_any_more_has_changed() -> None:
    values = [None, float("nan"), float("inf"), -float("inf"), 0.0]
    rows = pa.Table.from_pylist([{"reward": value, "more": [{"x": value}]} for value in values])
    parts = [rows.select(["reward"]), rows.select(["more"])]

    assert [len(set(batch_hashes(part))) for part in parts] == [5, 5]


def test_rows_without_row_id_are_known_by_their_module_and_number(tmp_path: Path) -> None:
    name = "train-00000-of-00001"
    old = data_file(tmp_path / "old", name, [{"module_id": "m", "n": 1}, {"module_id": "m", "n": 2}])
    new = data_file(tmp_path / "new", name, [{"module_id": "m", "n": 1}, {"module_id": "m", "n": 3}])

    found = difference(old, new)

    assert (found.added, found.removed, found.changed) == ([], [], ["m"])


def many_files(folder: Path, split: str, number: int, rows: int) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for i in range(number):
        lines = [{"row_id": f"{split}-{i}-{j}", "text": "x" * j} for j in range(rows)]
        files |= data_file(folder, f"{split}-{i:05d}-of-{number:05d}", lines)
    return files


def rows_of(files: dict[str, Path], split: str) -> list[dict[str, Any]]:
    return [row for path, file in files.items() if f"/{split}-" in path for row in pq.read_table(file).to_pylist()]


def test_too_many_files_become_fewer_with_the_same_rows(tmp_path: Path) -> None:
    files = many_files(tmp_path / "in", "train", 7, rows=5) | many_files(tmp_path / "in", "validation", 2, rows=3)

    found = regrouped(files, tmp_path / "one", max_files=4)

    assert list(found) == [
        "data/train-00000-of-00003.parquet",
        "data/train-00001-of-00003.parquet",
        "data/train-00002-of-00003.parquet",
        "data/validation-00000-of-00001.parquet",
    ]
    for split in ("train", "validation"):
        assert rows_of(found, split) == rows_of(files, split)
    again = regrouped(files, tmp_path / "two", max_files=4)
    assert [file.read_bytes() for file in found.values()] == [file.read_bytes() for file in again.values()]


def test_files_that_fit_stay_as_they_are(tmp_path: Path) -> None:
    files = many_files(tmp_path, "train", 3, rows=2)

    assert regrouped(files, tmp_path / "unused", max_files=3) == files
    assert not (tmp_path / "unused").exists()


def test_what_cannot_fit_into_one_commit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    files = many_files(tmp_path, "train", 4, rows=2)

    with pytest.raises(ValueError, match="too large for one commit: 2 files of at most 1e-06 GB"):
        regrouped(files, tmp_path / "unused", max_files=2, max_bytes=1000)
    assert not (tmp_path / "unused").exists()


def test_a_folder_that_is_no_dataset_is_told_of(tmp_path: Path) -> None:
    data_file(tmp_path / "named", "part-1", [{"a": 1}])
    data_file(tmp_path / "columns", "train-00000-of-00002", [{"a": 1}])
    data_file(tmp_path / "columns", "train-00001-of-00002", [{"b": 1}])
    data_file(tmp_path / "card", "train-00000-of-00001", [{"a": 1}])
    data_file(tmp_path / "more", "train-00000-of-00001", [{"a": 1}])
    (tmp_path / "more" / "assets").mkdir()
    (tmp_path / "more" / "assets" / ".picture.svg.swp").touch()

    with pytest.raises(ValueError, match=r"part-1\.parquet: expected a file named"):
        dataset_folder("named", tmp_path / "named")
    with pytest.raises(ValueError, match="the files have different columns"):
        dataset_folder("columns", tmp_path / "columns")
    with pytest.raises(ValueError, match=r"card: expected a card, README\.md"):
        dataset_folder("card", tmp_path / "card")
    with pytest.raises(ValueError, match=r"\.picture\.svg\.swp: no file of a dataset; remove it"):
        dataset_folder("more", tmp_path / "more")


def test_the_identity_is_of_data_card_and_trainer_configurations() -> None:
    data, card, trainers = {"data/a": "1"}, "card", {"trl.py": "x"}
    first = identity(data, card, trainers)

    assert first == identity(dict(data), card, dict(trainers))
    others = [
        identity({"data/a": "2"}, card, trainers),
        identity({"data/b": "1"}, card, trainers),
        identity(data, "other", trainers),
        identity(data, card, {"trl.py": "y"}),
        identity(data, card, {}),
    ]
    assert len({first, *others}) == 6


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{}", r"^v1/manifest\.json is not a manifest of this program"),
        (b"no json", "is not a manifest"),
        (b'{"format": 1}', "is not a manifest"),
        (b'{"format": 2}', r"^v1/manifest\.json: expected format 1, got 2$"),
    ],
)
def test_a_manifest_of_somebody_else_is_told_of(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(content, "v1/manifest.json")


def test_a_manifest_may_have_fields_that_a_later_program_adds() -> None:
    known = manifest(history=[Former(["v0"], 3, Changes(1, 2, 3))], files={"a": File("0", 1)})
    later = json.loads(known.dump())
    for place in (later, later["history"][0], later["history"][0]["changes"], later["files"]["a"]):
        place["added_later"] = [1]

    assert parse(json.dumps(later).encode()) == known


def test_files_are_those_of_the_manifest(tmp_path: Path) -> None:
    files = data_file(tmp_path, "train-00000-of-00001", [{"a": 1}, {"a": 2}])
    files["README.md"] = tmp_path / "README.md"
    files["README.md"].write_text("card")
    told = manifest(rows={"train": 2}, files={path: described(file) for path, file in files.items()})
    more = data_file(tmp_path, "train-00001-of-00002", [{"a": 3}])

    check_files(files, told)
    with pytest.raises(DifferentError, match=r"^data/train-00001-of-00002\.parquet is not in manifest\.json$"):
        check_files(files | more, told)
    with pytest.raises(DifferentError, match=r"^README\.md is missing$"):
        check_files({path: file for path, file in files.items() if path != "README.md"}, told)
    with pytest.raises(
        DifferentError, match=r"^the files have \{'train': 2\} rows, manifest\.json says \{'train': 3\}$"
    ):
        check_files(files, msgspec.structs.replace(told, rows={"train": 3}))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@example.org/a/b.git", "https://example.org/a/b.git"),
        ("https://token@example.org:8443/a", "https://example.org:8443/a"),
        ("https://example.org/a/b.git?private_token=secret#part", "https://example.org/a/b.git"),
        ("ssh://git:secret@example.org/a/b.git", "ssh://git@example.org/a/b.git"),
        ("git@example.org:a/b.git", "git@example.org:a/b.git"),
        ("/home/me/pipeline.git", None),
        ("../pipeline", None),
        ("file:///home/me/pipeline.git", None),
        ("https://example.org/$(touch here)", None),
        ("https://example.org/a`b", None),
    ],
)
def test_credentials_and_places_of_this_machine_are_not_published(url: str, shown: str | None) -> None:
    assert public_address(url) == shown


@pytest.mark.parametrize("rev", ["main", "../../x", "v1..2", "v1.", "v1.lock", "0123abc", "v 1", "", "v1\n"])
def test_a_version_has_a_name_that_git_takes_for_a_tag(rev: str) -> None:
    with pytest.raises(ValueError, match=rf"^--rev: expected a name such as v1 .*, got {re.escape(repr(rev))}$"):
        main(["unique", "--rev", rev])


@pytest.mark.parametrize("org", ["../..", "me/other", 'me"', "m e", "-me", "me\n", "m\u00e9", ""])
def test_an_organisation_is_a_name_that_the_hub_knows(org: str) -> None:
    """It stands in scripts that are published."""
    with pytest.raises(ValueError, match=f"^--org: expected the name of a user .*, got {re.escape(repr(org))}$"):
        main(["unique", "--rev", "v1", f"--org={org}"])


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        ("evals", "kernelbook-glm4_7-evals"),
        ("filtered", "kernelbook-glm4_7-evals-filtered"),
        ("unique-no-reasoning", "kernelbook-glm4_7-evals-unique-no-reasoning"),
        ("synthetic-tasks", "kernelbook-synthetic-tasks"),
    ],
)
def test_the_name_on_the_hub_has_the_model_where_the_rows_are_of_one(variant: str, name: str) -> None:
    assert repository_name(variant, "glm4_7") == name
