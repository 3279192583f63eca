"""Publishing to a repository that holds something else than the versions before, or that changes on the way."""

import pytest

from tests.commands.hub_publishing import NAME, manifest, published, refused
from tests.commands.small_project import TRAIN, SmallProject, row
from tests.hub_server import Fault, HubServer, Received

CARD = b"---\nlicense: mit\n---\nMine.\n"
WORDS = ("unique", "--rev", "v1", "--org", "org")


def publish_untagged(project: SmallProject, hub: HubServer, rev: str) -> None:
    """As far as a run gets that ends between the commit and the tag."""
    hub.script = lambda request: Fault(status=403) if request.call == "tag" else None
    refused(project, hub, "unique", "--rev", rev, "--org", "org")
    hub.script = lambda _: None


@pytest.mark.parametrize("theirs", [False, True], ids=["a file", "a version"])
def test_a_repository_that_is_filled_while_it_is_created_is_left_alone(
    project: SmallProject, hub: HubServer, *, theirs: bool
) -> None:
    """When the plan was made there was none. A version of somebody else would get ours on top, under its name."""
    if theirs:
        published(project, hub, "unique", "--rev", "v1")
        project.set_rows("unique", {"train": [row("x")]})
        project.make("other rows")
    else:
        hub.add("datasets", NAME, {"note.txt": b"theirs"}, private=True)
    repository = hub.repositories.all.pop(("datasets", NAME))
    head, tags = repository.head, dict(repository.tags)

    def intrude(request: Received) -> None:
        if request.call == "create":
            hub.repositories.all["datasets", NAME] = repository

    hub.script = intrude

    why = refused(project, hub, *WORDS)

    assert why == f"publish: {NAME} on the Hub: another commit came in between; run again"
    assert (repository.head, repository.tags) == (head, tags)


def test_the_name_of_a_version_without_a_tag_does_not_lock_its_publisher_out(
    project: SmallProject, hub: HubServer
) -> None:
    """Its name has become the tag of another version."""
    published(project, hub, "unique", "--rev", "v1")
    first = hub.repository(NAME).head
    project.set_rows("unique", {"train": TRAIN[:2]})
    project.make("two")
    publish_untagged(project, hub, "v2")
    hub.repositories.tag(hub.repository(NAME), "v2", first)

    published(project, hub, "unique", "--rev", "v3")

    assert hub.repository(NAME).tags == {"v1": first, "v2": first, "v3": hub.repository(NAME).head}
    assert manifest(hub, NAME, "v3")["rows"] == {"train": 2}


def test_what_a_repository_had_before_is_lost_only_when_that_is_meant(project: SmallProject, hub: HubServer) -> None:
    theirs = {"README.md": CARD, "data/notes.txt": b"n", "data/train-00000-of-00002.parquet": b"1", "logo.svg": b"<"}
    hub.add("datasets", NAME, theirs, private=True)
    head = hub.repository(NAME).head
    lost = (
        "overwrites what no version here had: README.md; "
        "deletes what no version here had: data/notes.txt, data/train-00000-of-00002.parquet"
    )

    assert refused(project, hub, *WORDS) == (
        f"publish: {NAME} on the Hub: {lost}; publish with --replace if that is meant"
    )
    assert hub.repository(NAME).head == head
    said = published(project, hub, "unique", "--rev", "v1", "--replace", "--dry-run")
    assert f"{NAME} on the Hub: overwrites what no version here had: README.md\n" in said
    published(project, hub, "unique", "--rev", "v1", "--replace")
    assert [path for path in hub.repository(NAME).files("v1") if path in theirs] == ["README.md", "logo.svg"]


def test_what_does_not_belong_to_a_version_is_not_read_back(project: SmallProject, hub: HubServer) -> None:
    hub.add("datasets", NAME, {"checkpoints/model.bin": b"\1" * 1000}, private=True)

    published(project, hub, "unique", "--rev", "v1")

    assert "checkpoints/model.bin" in hub.repository(NAME).files("v1")
    assert [request.path for request in hub.calls("resolve") if "model.bin" in request.path] == []


def test_a_later_version_says_what_goes_with_the_one_before(project: SmallProject, hub: HubServer) -> None:
    """A text of licences that the new version has not, and what somebody else put there."""
    make = project.folder / "make.py"
    text = make.read_text()
    make.write_text(f'{text}(folder / "LICENSE.md").write_text("# Licences\\n")\n')
    project.make("with a text of licences")
    published(project, hub, "unique", "--rev", "v1")
    make.write_text(text)
    project.make("without")
    hub.add("datasets", NAME, {"data/notes.txt": b"n", "README.md": CARD})

    said = published(project, hub, "unique", "--rev", "v2")

    lines = [line.removeprefix(f"publish: {NAME} on the Hub: ") for line in said.splitlines()]
    assert lines[lines.index("0 rows changed") + 1 :][:3] == [
        "what was edited since v1 is overwritten",
        "no longer has LICENSE.md",
        "deletes what no version here had: data/notes.txt",
    ]
    assert hub.repository(NAME).files("v1").keys() - hub.repository(NAME).files("v2").keys() == {"LICENSE.md"}
    assert "data/notes.txt" not in hub.repository(NAME).files("v2")


@pytest.mark.parametrize("rev", ["v1", "v2"])
def test_a_version_without_a_tag_that_somebody_edited_is_made_again(
    project: SmallProject, hub: HubServer, rev: str
) -> None:
    publish_untagged(project, hub, "v1")
    hub.add("datasets", NAME, {"README.md": CARD})

    published(project, hub, "unique", "--rev", rev)

    assert hub.repository(NAME).tags == {rev: hub.repository(NAME).head}
    found = manifest(hub, NAME, rev)
    assert (found["rev"], found["changes"], found["history"]) == (rev, None, [])


def test_the_name_of_a_version_without_a_tag_is_taken(project: SmallProject, hub: HubServer) -> None:
    """Else the table of versions would have it twice."""
    published(project, hub, "unique", "--rev", "v1")
    for rows in (TRAIN[:2], TRAIN[:1]):
        project.set_rows("unique", {"train": rows})
        project.make("fewer")
        why = ""
        if len(rows) == 2:
            publish_untagged(project, hub, "v2")
        else:
            why = refused(project, hub, "unique", "--rev", "v2", "--org", "org")

    assert why == (
        f"publish: {NAME} on the Hub: v2 is there with other content; a version never changes: choose another --rev"
    )
    published(project, hub, "unique", "--rev", "v3")
    assert refused(project, hub, "unique", "--rev", "v2", "--org", "org") == why
    card = hub.repositories.read(hub.repository(NAME), "README.md").decode()
    assert [line.split(" | ")[0] for line in card.splitlines() if line.startswith("| v")] == [
        "| version",
        "| v3",
        "| v2",
        "| v1",
    ]


def test_a_tag_that_somebody_makes_first_is_an_error(project: SmallProject, hub: HubServer) -> None:
    def intrude(request: Received) -> None:
        if request.call == "tag":
            repository = hub.repository(NAME)
            hub.repositories.tag(repository, "v1", next(iter(repository.commits)))

    hub.script = intrude

    assert refused(project, hub, *WORDS) == (
        f"publish: {NAME} on the Hub: v1 is the name of another version; choose another --rev"
    )


def test_a_commit_that_reads_back_as_another_version_gets_no_tag(project: SmallProject, hub: HubServer) -> None:
    def spoil() -> None:
        repository = hub.repository(NAME)
        blob = hub.repositories.blob(repository.files()["manifest.json"].sha256)
        identity = manifest(hub, NAME)["identity"]
        blob.write_bytes(blob.read_bytes().replace(identity.encode(), b"0" * len(identity)))

    hub.script = lambda request: Fault(after=spoil) if request.call == "commit" else None

    assert refused(project, hub, *WORDS).endswith(" does not hold what was published")
    assert hub.repository(NAME).tags == {}
    assert hub.calls("tag") == []


def test_rows_that_load_differently_are_an_error(project: SmallProject, hub: HubServer) -> None:
    """The files are right, but the card names those of another split."""
    make = project.folder / "make.py"
    make.write_text(make.read_text().replace("path: data/{split}-*", "path: data/train-*"))
    project.make("one path for all splits")

    assert refused(project, hub, *WORDS) == (
        f"publish: {NAME} on the Hub: load_dataset gives another row 0 of validation than the local variant has"
    )
