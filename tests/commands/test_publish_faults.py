"""Publishing to a Hub that is busy, broken, silent, or changed by somebody else."""

import pytest

from tests.commands.small_project import TRAIN, SmallProject, row
from tests.hub_server import Fault, HubServer, Received

NAME = "org/kernelbook-tiny-evals-unique"
WORDS = ("unique", "--rev", "v1", "--org", "org")


@pytest.fixture
def env(project: SmallProject, hub: HubServer) -> dict[str, str]:
    """A client that loses patience after a second."""
    return hub.environment(project.folder.parent / "home") | {"PUBLISH_TIMEOUT_S": "1"}


def test_trouble_that_passes_is_waited_for(project: SmallProject, hub: HubServer, env: dict[str, str]) -> None:
    """Each kind of request fails once, in all the ways in which one can."""
    once = {
        "info": Fault(delay_s=60),
        "create": Fault(status=429, headers={"Retry-After": "2"}),
        "validate_yaml": Fault(status=503),
        "preupload": Fault(status=500),
        "lfs_upload": Fault(cut="during"),
        "lfs_verify": Fault(cut="before"),
        "commit": Fault(status=500),
        "tag": Fault(status=429, headers={"RateLimit": '"api";r=0;t=2'}),
        "tree": Fault(cut="during"),
        "resolve": Fault(cut="after"),
    }
    hub.script = lambda request: once.pop(request.call, None)

    done = project.publish(*WORDS, hub=env)

    assert done.returncode == 0, done.stderr
    assert once == {}
    assert "publish: create the repository: too many requests; again in 2 s" in done.stderr
    assert "publish: commit: the Hub answers 500; again in 1 s" in done.stderr
    assert "publish: look up: no answer (ReadTimeout); again in 1 s" in done.stderr
    assert hub.repository(NAME).tags == {"v1": hub.repository(NAME).head}
    assert len(hub.repository(NAME).commits) == 2


@pytest.mark.parametrize("fault", [Fault(cut="after"), Fault(delay_s=2)], ids=["lost answer", "late"])
def test_a_commit_whose_answer_is_lost_is_not_made_twice(
    project: SmallProject, hub: HubServer, env: dict[str, str], fault: Fault
) -> None:
    """Late: the client has given up when the commit is made."""
    hub.script = lambda request: fault if (request.call, request.nth) == ("commit", 0) else None

    done = project.publish(*WORDS, hub=env)

    assert done.returncode == 0, done.stderr
    assert [commit.message for _, commit in hub.repository(NAME).history()] == ["Publish v1", "initial commit"]
    assert hub.repository(NAME).tags == {"v1": hub.repository(NAME).head}


@pytest.mark.parametrize("call", ["lfs_upload", "commit"])
def test_a_commit_in_between_is_an_error_and_stays(
    project: SmallProject, hub: HubServer, env: dict[str, str], call: str
) -> None:
    """Before our request for the commit, and after the check that precedes it."""

    def intrude(request: Received) -> None:
        if (request.call, request.nth) == (call, 0):
            hub.add("datasets", NAME, {"note.txt": b"mine"})

    hub.script = intrude

    done = project.publish(*WORDS, hub=env)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (f"publish: {NAME} on the Hub: another commit came in between; run again")
    assert [commit.message for _, commit in hub.repository(NAME).history()] == ["add", "initial commit"]
    assert hub.repository(NAME).tags == {}

    hub.script = lambda _: None
    assert project.publish(*WORDS, hub=env).returncode == 0
    assert "note.txt" in hub.repository(NAME).files("v1")


def test_a_repository_that_becomes_public_on_the_way_gets_no_commit(
    project: SmallProject, hub: HubServer, env: dict[str, str]
) -> None:
    def open_up(request: Received) -> None:
        if request.call == "lfs_upload":
            hub.repository(NAME).private = False

    hub.script = open_up

    done = project.publish(*WORDS, hub=env)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"publish: {NAME} on the Hub: the repository is public: publish there with --public"
    )
    assert [commit.message for _, commit in hub.repository(NAME).history()] == ["initial commit"]


def test_a_pause_that_is_too_long_ends_the_run(project: SmallProject, hub: HubServer, env: dict[str, str]) -> None:
    hub.script = lambda r: Fault(status=429, headers={"Retry-After": "3600"}) if r.call == "commit" else None

    done = project.publish(*WORDS, hub=env)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"publish: {NAME} on the Hub: commit: too many requests, and asks to wait more than 300 s; "
        "run again later, nothing is done twice"
    )
    assert hub.repository(NAME).tags == {}


def test_what_reads_back_differently_is_an_error(project: SmallProject, hub: HubServer, env: dict[str, str]) -> None:
    """A storage that gives other bytes than it got."""

    def spoil(request: Received) -> None:
        if request.call == "tree" and request.nth == 1:
            data = hub.repository(NAME).files()["data/train-00000-of-00001.parquet"]
            blob = hub.repositories.blob(data.sha256)
            blob.write_bytes(blob.read_bytes()[:-9] + b"\0" * 9)

    hub.script = spoil

    done = project.publish(*WORDS, hub=env)

    assert done.returncode == 1
    assert "data/train-00000-of-00001.parquet is not what manifest.json says" in done.stderr.splitlines()[-1]
    assert hub.repository(NAME).tags == {}, "what was not read back has no name"


def test_a_card_that_somebody_edited_is_no_version(project: SmallProject, hub: HubServer, env: dict[str, str]) -> None:
    """The next version replaces it; the same content under another name goes to what was published."""
    assert project.publish(*WORDS, hub=env).returncode == 0
    first = hub.repository(NAME).head
    hub.add("datasets", NAME, {"README.md": b"---\nlicense: mit\n---\nEdited.\n"})

    assert project.publish("unique", "--rev", "v2", "--org", "org", hub=env).returncode == 0
    assert hub.repository(NAME).tags == {"v1": first, "v2": first}

    project.set_rows("unique", {"train": [*TRAIN, row("e")]})
    project.make("two")
    assert project.publish("unique", "--rev", "v3", "--org", "org", hub=env).returncode == 0
    card = hub.repositories.read(hub.repository(NAME), "README.md").decode()
    assert "| v3 | 4 | 1 row added, 1 removed, 0 changed |\n| v1, v2 | 4 | the first version |" in card


def test_without_a_hub_there_is_one_line(project: SmallProject, hub: HubServer, env: dict[str, str]) -> None:
    hub.stop()

    done = project.publish(*WORDS, hub=env | {"HF_HUB_OFFLINE": "1"})

    assert done.returncode == 1
    assert "HF_HUB_OFFLINE" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
