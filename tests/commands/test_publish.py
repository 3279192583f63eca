"""Publishing to a Hub that speaks HTTP on this machine, from a project with real git and real DVC."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard

from tests.commands.hub_publishing import NAME, UPLOADS, loaded, manifest, published
from tests.commands.small_project import TRAIN, VALIDATION, SmallProject, row
from tests.hub_server import HubServer


@pytest.fixture(scope="module")
def first(
    made: SmallProject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SmallProject, HubServer, str]]:
    """A project with a remote and a tag, published as v1, and what that said."""
    folder = tmp_path_factory.mktemp("first")
    project = made.clone(folder / "project")
    project.run("git", "remote", "add", "origin", "https://me:secret@example.org/me/pipeline.git")
    project.run("git", "tag", "release-1")
    with HubServer(folder / "hub") as hub:
        yield project, hub, published(project, hub, "unique", "--rev", "v1")


First = tuple[SmallProject, HubServer, str]


def test_a_version_is_one_commit_with_data_card_and_manifest_and_a_tag(first: First) -> None:
    project, hub, said = first
    repository = hub.repository(NAME)
    local = project.folder / "data" / "datasets" / "unique"

    assert repository.private
    assert [commit.message for _, commit in repository.history()] == ["Publish v1", "initial commit"]
    assert repository.tags == {"v1": repository.head}
    assert sorted(repository.files()) == [
        ".gitattributes",
        "README.md",
        "assets/picture.svg",
        "data/train-00000-of-00001.parquet",
        "data/validation-00000-of-00001.parquet",
        "manifest.json",
    ]
    for path in ("data/train-00000-of-00001.parquet", "data/validation-00000-of-00001.parquet"):
        assert hub.repositories.read(repository, path) == (local / path).read_bytes()
    assert {line.partition(" ")[0] for line in said.splitlines()} == {"publish:"}, "a log gets lines, no bars"


def test_the_manifest_says_what_the_version_is(first: First) -> None:
    project, hub, _ = first
    found = manifest(hub, NAME)
    repository = hub.repository(NAME)
    files = {path: hub.repositories.read(repository, path) for path in repository.files()}
    locked = (project.folder / "dvc.lock").read_text()

    assert found["rows"] == {"train": 3, "validation": 1}
    assert found["files"] == {
        path: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for path, content in sorted(files.items())
        if path not in {"manifest.json", ".gitattributes"}
    }
    assert found["schema"] == (
        "row_id: string\nreward: double\ncompletion: list<element: struct<role: string, content: string>>"
    )
    assert found["git_revision"] == project.run("git", "rev-parse", "HEAD").strip()
    assert list(found["deps"]) == ["make.py", "rows/unique.json"]
    assert all(md5 in locked for md5 in found["deps"].values())
    assert found["params"] == {"made_with": {"cutoff": 0.85}}
    assert (found["rev"], found["variant"], found["stage"]) == ("v1", "unique", "build@unique")
    assert (found["changes"], found["history"]) == (None, [])


def test_the_card_tells_how_to_load_and_to_reproduce(first: First) -> None:
    _, hub, _ = first
    card = hub.repositories.read(hub.repository(NAME), "README.md").decode()
    revision = manifest(hub, NAME)["git_revision"]

    assert DatasetCard(card).data.get("pretty_name") == "Tiny, unique (tiny)"
    assert "\n# Tiny (tiny)\n\nThe rollouts are those of the model `tiny`.\n" in card
    assert f'load_dataset("{NAME}", revision="v1")' in card
    assert f"From git revision `{revision}` (tag release-1):" in card
    assert "git clone https://example.org/me/pipeline.git" in card
    assert f"git checkout {revision}\nuv run dvc repro --pull build@unique\n" in card
    assert f"| make.py | {manifest(hub, NAME)['deps']['make.py']} |" in card
    assert "@misc{kernelbook-tiny-evals-unique-v1," in card
    assert "secret" not in card


def test_publishing_the_same_version_twice_uploads_nothing(project: SmallProject, hub: HubServer) -> None:
    published(project, hub, "all", "--rev", "v1")
    before, heads = len(hub.received), {name: r.head for name, r in hub.repositories.all.items()}

    said = published(project, hub, "all", "--rev", "v1")

    assert [r.call for r in hub.received[before:] if r.call in UPLOADS] == []
    assert {name: r.head for name, r in hub.repositories.all.items()} == heads
    assert said.count("v1 is there with the same content, nothing to upload") == 2


def test_the_same_data_from_a_later_commit_under_another_name_is_one_more_tag(
    project: SmallProject, hub: HubServer
) -> None:
    published(project, hub, "unique", "--rev", "v1")
    before = len(hub.received)
    (project.folder / "NOTES.md").write_text("Nothing that a dataset depends on.\n")
    project.commit("notes")

    published(project, hub, "unique", "--rev", "v2")

    assert [r.call for r in hub.received[before:] if r.call in UPLOADS] == ["tag"]
    assert hub.repository(NAME).tags == dict.fromkeys(["v1", "v2"], hub.repository(NAME).head)


def test_one_changed_row_is_one_commit_and_the_old_version_loads_by_its_tag(
    project: SmallProject, hub: HubServer, tmp_path: Path
) -> None:
    published(project, hub, "unique", "--rev", "v1")
    before = hub.repository(NAME).head
    project.set_rows("unique", {"train": [TRAIN[0], row("b", "another"), row("e")], "validation": VALIDATION})
    project.make("two")

    said = published(project, hub, "unique", "--rev", "v2")

    repository = hub.repository(NAME)
    assert repository.commits[repository.head].parent == before
    assert repository.tags == {"v1": before, "v2": repository.head}
    assert "1 row added: e" in said
    assert "1 row removed: c" in said
    assert "1 row changed: b" in said
    found = manifest(hub, NAME, "v2")
    assert found["changes"] == {"added": 1, "removed": 1, "changed": 1}
    assert found["history"] == [{"revs": ["v1"], "rows": 4, "changes": None}]
    card = hub.repositories.read(repository, "README.md").decode()
    assert "| v2 | 4 | 1 row added, 1 removed, 1 changed |\n| v1 | 4 | the first version |" in card
    assert loaded(hub, tmp_path / "home", NAME, "v1") == {"train": TRAIN, "validation": VALIDATION}
    assert loaded(hub, tmp_path / "home", NAME, "v2")["train"] == [TRAIN[0], row("b", "another"), row("e")]


def test_a_split_that_is_gone_leaves_no_file(project: SmallProject, hub: HubServer) -> None:
    """What the repository has besides, stays."""
    published(project, hub, "unique", "--rev", "v1")
    hub.add("datasets", NAME, {"data/notes.txt": b"stale", "picture.png": b"\0"})
    project.set_rows("unique", {"train": TRAIN})
    project.make("two")

    published(project, hub, "unique", "--rev", "v2")

    paths = sorted(hub.repository(NAME).files("v2"))
    assert paths == [
        ".gitattributes",
        "README.md",
        "assets/picture.svg",
        "data/train-00000-of-00001.parquet",
        "manifest.json",
        "picture.png",
    ]


def test_more_files_than_a_commit_takes_become_fewer(project: SmallProject, hub: HubServer, tmp_path: Path) -> None:
    rows = [row(f"{number:02d}") for number in range(45)]
    project.set_rows("unique", {"train": rows, "validation": VALIDATION}, rows_per_file=1)
    project.make("many files")

    published(project, hub, "unique", "--rev", "v1")

    files = manifest(hub, NAME)["files"]
    assert len(hub.calls("commit")) == 1
    assert [path for path in files if path.startswith("data/train-")] == [
        f"data/train-{number:05d}-of-00023.parquet" for number in range(23)
    ]
    assert loaded(hub, tmp_path / "home", NAME, "v1") == {"train": rows, "validation": VALIDATION}


def test_a_dry_run_shows_the_difference_and_changes_nothing(project: SmallProject, hub: HubServer) -> None:
    said = published(project, hub, "unique", "--rev", "v1", "--dry-run")
    assert "overwrites" not in said
    assert "v1: 3 train, 1 validation rows, 5 files" in said
    assert hub.repositories.all == {}
    published(project, hub, "unique", "--rev", "v1")
    before = len(hub.received)
    project.set_rows("unique", {"train": [*TRAIN, row("e")], "validation": VALIDATION})
    project.make("two")

    said = published(project, hub, "unique", "--rev", "v2", "--dry-run")

    assert "1 row added: e" in said
    assert "0 rows removed" in said
    assert {r.call for r in hub.received[before:] if r.method not in {"GET", "HEAD"}} == {"validate_yaml"}
    assert list(hub.repository(NAME).tags) == ["v1"]
