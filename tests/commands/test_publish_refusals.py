"""What is not published, and who is told why in one line."""

from pathlib import Path

import pytest

from tests.commands.hub_publishing import NAME, published, refused
from tests.commands.small_project import TRAIN, SmallProject
from tests.hub_server import Fault, HubServer


def test_a_version_never_changes(project: SmallProject, hub: HubServer) -> None:
    published(project, hub, "unique", "--rev", "v1")
    head = hub.repository(NAME).head
    project.set_rows("unique", {"train": TRAIN[:2]})
    project.make("two")

    why = refused(project, hub, "all", "--rev", "v1", "--org", "org")

    assert why == (
        f"publish: {NAME} on the Hub: v1 is there with other content; a version never changes: choose another --rev"
    )
    assert hub.repository(NAME).head == head
    other = "org/kernelbook-tiny-evals"
    assert list(hub.repository(other).tags) == ["v1"], "the other datasets do not wait for another name"
    before = len(hub.received)
    assert refused(project, hub, "all", "--rev", "v1", "--org", "org", "--dry-run") == why
    assert [r.call for r in hub.received[before:] if r.method not in {"GET", "HEAD"}] == []


def test_all_is_looked_at_before_the_first_is_published(project: SmallProject, hub: HubServer) -> None:
    """The dry run says what the run would."""
    make = project.folder / "make.py"
    make.write_text(make.read_text().replace("license: mit", "license: {'mit' if variant == 'evals' else 'my-own'}"))
    project.make("one licence")
    words = ("all", "--rev", "v1", "--org", "org")

    why = refused(project, hub, *words)

    assert why.startswith(f'publish: {NAME} on the Hub: the Hub refuses the card: "license" must be one of [')
    assert hub.repositories.all == {}
    assert refused(project, hub, *words, "--dry-run") == why


def test_only_what_is_committed_and_reproduced_is_published(project: SmallProject, hub: HubServer) -> None:
    words = ("unique", "--rev", "v1", "--org", "org")
    (project.folder / "params.yaml").write_text((project.folder / "params.yaml").read_text().replace("0.85", "0.9"))
    assert refused(project, hub, *words) == (
        "publish: the git tree is dirty (M params.yaml): commit first, then publish"
    )

    project.commit("another knob")
    assert refused(project, hub, *words) == (
        "publish: build@unique does not match dvc.lock (changed deps: made_with modified): "
        "run `dvc repro` or `dvc pull`"
    )

    project.make("reproduced")
    (project.folder / "data/datasets/unique/README.md").unlink()
    assert refused(project, hub, *words) == (
        "publish: build@unique does not match dvc.lock (changed outs: data/datasets/unique modified): "
        "run `dvc repro` or `dvc pull`"
    )
    assert hub.received == []


def test_a_dataset_without_rows_is_refused_and_of_all_it_is_named(project: SmallProject, hub: HubServer) -> None:
    project.set_rows("unique", {})
    project.make("empty")

    assert refused(project, hub, "unique", "--rev", "v1", "--org", "org") == (
        "publish: unique: no rows, so there is nothing to publish"
    )
    said = published(project, hub, "all", "--rev", "v1")
    assert "not published, because they have no rows: unique" in said
    assert [name for _, name in hub.repositories.all] == ["org/kernelbook-tiny-evals"]


def test_a_public_repository_is_asked_for(project: SmallProject, hub: HubServer) -> None:
    published(project, hub, "unique", "--rev", "v1", "--public")
    assert not hub.repository(NAME).private

    assert refused(project, hub, "unique", "--rev", "v2", "--org", "org") == (
        f"publish: {NAME} on the Hub: the repository is public: publish there with --public"
    )


def test_token_and_endpoint_may_stand_in_the_file_env(project: SmallProject, hub: HubServer) -> None:
    (project.folder / ".env").write_text(f"HF_TOKEN=hf_write\nHF_ENDPOINT={hub.url}\n")
    shell = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}

    done = project.publish("unique", "--rev", "v1", "--org", "org", "--dry-run", hub=shell)

    assert done.returncode == 0, done.stderr
    assert {request.token for request in hub.received if request.call != "validate_yaml"} == {"hf_write"}


def test_a_token_that_may_not_write_is_named(project: SmallProject, hub: HubServer) -> None:
    words = ("unique", "--rev", "v1", "--org", "org")

    assert "HF_TOKEN" in refused(project, hub, *words, token="hf_read")
    assert "HF_TOKEN" in refused(project, hub, *words, token="hf_unknown")
    assert hub.repositories.all == {}


def test_a_card_that_the_hub_refuses_is_not_uploaded(project: SmallProject, hub: HubServer) -> None:
    make = project.folder / "make.py"
    make.write_text(make.read_text().replace("license: mit", "license: my-own"))
    project.make("licence")

    why = refused(project, hub, "unique", "--rev", "v1", "--org", "org")

    assert why.startswith(f'publish: {NAME} on the Hub: the Hub refuses the card: "license" must be one of [')
    assert hub.calls("lfs_upload", "commit") == []


def test_wrong_words_are_told(project: SmallProject, hub: HubServer) -> None:
    assert refused(project, hub, "uniqe", "--rev", "v1") == (
        "publish: no dataset 'uniqe': expected all or one of evals, unique"
    )
    assert refused(project, hub, "unique", "--rev", "main") == (
        "publish: --rev: expected a name such as v1 (letters, digits, . _ -; no hash), got 'main'"
    )
    assert refused(project, hub, "unique", "--rev", "v1", "--to", "shared", "--public") == (
        "publish: --public: expected with a repository of the Hub, not with --to"
    )


def test_an_endpoint_that_is_none_is_told_at_once(project: SmallProject) -> None:
    done = project.publish("unique", "--rev", "v1", "--org", "me", hub={"HF_ENDPOINT": "nonsense", "HF_TOKEN": "t"})

    assert (done.returncode, done.stderr) == (
        1,
        "publish: HF_ENDPOINT: expected an address such as https://huggingface.co, got 'nonsense'\n",
    )


@pytest.mark.parametrize(
    ("call", "status", "told"),
    [
        ("lfs_upload", 403, "the Hub does not accept the token in HF_TOKEN, or what it is used for (403"),
        ("lfs_upload", 409, "the Hub answered 409"),
        ("create", 409, "not on the Hub, or of another kind, or private"),
        ("tag", 409, "the Hub refuses the tag v1 (409 scripted); choose another --rev"),
    ],
)
def test_what_the_hub_refuses_is_told(project: SmallProject, hub: HubServer, call: str, status: int, told: str) -> None:
    hub.script = lambda request: Fault(status=status) if request.call == call else None

    why = refused(project, hub, "unique", "--rev", "v1", "--org", "org")

    assert why.startswith(f"publish: {NAME} on the Hub: {told}")


def test_a_manifest_of_another_program_is_told_once(project: SmallProject, hub: HubServer) -> None:
    hub.add("datasets", NAME, {"manifest.json": b'{"name": "app"}'}, private=True)

    assert refused(project, hub, "unique", "--rev", "v1", "--org", "org").startswith(
        f"publish: {NAME} on the Hub: manifest.json is not a manifest of this program: "
    )


def test_a_folder_that_would_block_the_next_run_or_takes_nothing_is_refused(
    project: SmallProject, tmp_path: Path
) -> None:
    """Also by the dry run."""
    (tmp_path / "file").touch()
    refusals = {
        "out": "publish: --to out: git would see it, and the next run a dirty tree; take a folder elsewhere",
        ".": "publish: --to .: git would see it, and the next run a dirty tree; take a folder elsewhere",
        str(tmp_path / "file"): f"publish: {tmp_path}/file/kernelbook-tiny-evals-unique: {tmp_path}/file is no folder",
    }
    for folder, why in refusals.items():
        for words in (["--dry-run"], []):
            done = project.publish("unique", "--rev", "v1", "--to", folder, *words)
            assert (done.returncode, done.stderr) == (1, f"{why}\n"), folder

    done = project.publish("unique", "--rev", "v1", "--to", "data/published/mine", "--dry-run")
    assert done.returncode == 0, done.stderr


def test_a_commit_that_nobody_else_has_is_warned_of(project: SmallProject, tmp_path: Path) -> None:
    words = ("unique", "--rev", "v1", "--dry-run")
    project.run("git", "init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    project.run("git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    revision = project.run("git", "rev-parse", "HEAD")[:12]
    warning = f"publish: no branch of origin that this clone knows has {revision}: push it, the card cites it\n"

    assert warning in project.publish(*words).stderr
    project.run("git", "push", "--quiet", "origin", "main")
    assert "push it" not in project.publish(*words).stderr
