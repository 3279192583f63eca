"""Sharing through S3, by real `dvc` commands and a real server: moto's, or Ceph's with `S3_SERVER=radosgw`."""

import filecmp
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.project_copy import ProjectCopy, environment
from tests.s3.account import Account
from tests.s3.bucket import Bucket
from tests.s3.gate import Direction, Gate
from tests.s3.moto_server import moto_server
from tests.s3.radosgw import radosgw

SERVERS = {"moto": moto_server, "radosgw": radosgw}
PREFIX = "project/files/md5/"
UP_TO_DATE = "Data and pipelines are up to date."


class GitClone(ProjectCopy):
    """What another person gets by `git clone`: no outs, no cache, no credentials."""

    def __init__(self, origin: ProjectCopy, folder: Path) -> None:
        origin.git("clone", "--quiet", str(origin.folder), str(folder))
        self.folder = folder


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with SERVERS[os.environ.get("S3_SERVER", "moto")](tmp_path_factory.mktemp("server")) as account:
        yield account


@pytest.fixture(scope="module")
def gate(account: Account) -> Iterator[Gate]:
    """The line between `dvc` and the server."""
    with Gate(account.port) as gate:
        yield gate


@pytest.fixture(scope="module")
def bucket(account: Account) -> Bucket:
    return Bucket(account, "kernels")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, account: Account, gate: Gate, bucket: Bucket) -> ProjectCopy:
    """A project whose outs are made and pushed, its remote committed without credentials."""
    project = ProjectCopy(tmp_path_factory.mktemp("origin") / "project")
    project.dvc("repro")
    project.dvc("remote", "add", "--default", "storage", f"s3://{bucket.name}/project")
    project.dvc("remote", "modify", "storage", "endpointurl", gate.url)
    project.dvc("remote", "modify", "storage", "verify", "true")
    project.dvc("remote", "modify", "--local", "storage", "access_key_id", account.key)
    project.dvc("remote", "modify", "--local", "storage", "secret_access_key", account.secret)
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "remote")
    project.dvc("push")
    return project


def sign_in(project: ProjectCopy, account: Account, **instead: str) -> None:
    """Write the credentials, and what else is meant for this clone alone, as `dvc remote modify --local` does."""
    options = {"access_key_id": account.key, "secret_access_key": account.secret, **instead}
    lines = ["['remote \"storage\"']", *(f"    {name} = {value}" for name, value in options.items())]
    (project.folder / ".dvc" / "config.local").write_text("\n".join(lines) + "\n")


def cached(project: ProjectCopy) -> dict[str, bytes]:
    """Content of every object in the cache, by its key under the prefix."""
    folder = project.folder / ".dvc" / "cache" / "files" / "md5"
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def stored(bucket: Bucket) -> dict[str, bytes]:
    """The same of a bucket."""
    objects = bucket.objects()
    assert all(key.startswith(PREFIX) for key in objects)
    return {key.removeprefix(PREFIX): content for key, content in objects.items()}


def out_key(project: ProjectCopy, path: str) -> str:
    """Key of an out under the prefix."""
    stages = yaml.safe_load((project.folder / "dvc.lock").read_text())["stages"]
    md5 = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}[path]
    return f"{md5[:2]}/{md5[2:]}"


def is_whole(key: str, content: bytes) -> bool:
    """An object is named by the MD5 of its content."""
    return hashlib.md5(content).hexdigest() == key.replace("/", "").removesuffix(".dir")


def killed_in_the_middle(project: ProjectCopy, command: str, gate: Gate, size: int, way: Direction) -> None:
    """Start a command, let half of the bytes pass, and kill it while it waits for the rest."""
    gate.stop_after(size // 2, way)
    words = [sys.executable, "-m", "dvc", command, "--jobs", "2"]
    running = subprocess.Popen(words, cwd=project.folder, env=environment(), start_new_session=True)
    assert gate.stuck.wait(60)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    gate.release()


def test_a_fresh_clone_pulls_everything_and_reproduces_nothing(
    origin: ProjectCopy, account: Account, bucket: Bucket, tmp_path: Path
) -> None:
    clone = GitClone(origin, tmp_path / "clone")
    sign_in(clone, account)

    clone.dvc("pull")

    assert "Running stage" not in clone.dvc("repro").stdout
    assert clone.dvc("status").stdout.strip() == UP_TO_DATE
    assert clone.git("status", "--porcelain") == ""
    assert cached(clone) == stored(bucket)
    assert "Everything is up to date." in clone.dvc("push").stdout


def test_one_dataset_is_pulled_alone(origin: ProjectCopy, account: Account, tmp_path: Path) -> None:
    clone = GitClone(origin, tmp_path / "clone")
    sign_in(clone, account)
    path = "data/datasets/unique"

    clone.dvc("pull", path)

    found = filecmp.dircmp(origin.folder / path, clone.folder / path)
    assert (found.left_only, found.right_only, found.diff_files) == ([], [], [])
    assert [folder.name for folder in (clone.folder / "data" / "datasets").iterdir()] == ["unique"]
    assert list((clone.folder / "data").glob("*.parquet")) == []
    folder_key = out_key(clone, path)
    files = {f"{entry['md5'][:2]}/{entry['md5'][2:]}" for entry in json.loads(cached(clone)[folder_key])}
    assert set(cached(clone)) == {folder_key} | files


def test_a_killed_push_is_completed_by_the_next(
    origin: ProjectCopy, account: Account, gate: Gate, bucket: Bucket, tmp_path: Path
) -> None:
    project = origin.clone(tmp_path / "project")
    empty = Bucket(account, "interrupted")
    sign_in(project, account, url=f"s3://{empty.name}/project")
    wanted = stored(bucket)

    killed_in_the_middle(project, "push", gate, sum(map(len, wanted.values())), "up")

    arrived = stored(empty)
    assert 0 < len(arrived) < len(wanted)
    assert [key for key, content in arrived.items() if not is_whole(key, content)] == []
    assert f"{len(wanted) - len(arrived)} files pushed" in project.dvc("push").stdout
    assert stored(empty) == wanted
    assert project.dvc("push").stdout.strip() == "Everything is up to date."


def test_a_killed_pull_is_completed_by_the_next(
    origin: ProjectCopy, account: Account, gate: Gate, bucket: Bucket, tmp_path: Path
) -> None:
    clone = GitClone(origin, tmp_path / "clone")
    sign_in(clone, account)
    wanted = stored(bucket)

    killed_in_the_middle(clone, "pull", gate, sum(map(len, wanted.values())), "down")

    arrived = {key: content for key, content in cached(clone).items() if key in wanted}
    assert 0 < len(arrived) < len(wanted)
    assert [key for key, content in arrived.items() if not is_whole(key, content)] == []
    assert f"{len(wanted) - len(arrived)} files fetched" in clone.dvc("pull").stdout
    assert clone.dvc("status").stdout.strip() == UP_TO_DATE
    assert {key: cached(clone)[key] for key in wanted} == wanted


def test_a_corrupted_object_is_refused_and_can_be_pushed_again(
    origin: ProjectCopy, account: Account, bucket: Bucket, tmp_path: Path
) -> None:
    """By `verify`, which a remote has to be told; without it DVC believes the name of an object."""
    path, name = "data/datasets/unique", "README.md"
    right = (origin.folder / path / name).read_bytes()
    wrong = right.replace(b"t", b"T", 1)
    md5 = hashlib.md5(right).hexdigest()
    key = f"{md5[:2]}/{md5[2:]}"
    bucket.write(PREFIX + key, wrong)
    believing, clone = GitClone(origin, tmp_path / "believing"), GitClone(origin, tmp_path / "clone")
    sign_in(believing, account, verify="false")
    sign_in(clone, account)

    believing.dvc("pull", path)
    refused = clone.dvc("pull", path, check=False)

    assert (believing.folder / path / name).read_bytes() == wrong
    assert refused.returncode == 1
    assert f"Checkout failed for following targets:\n{path}\n" in refused.stderr
    assert not (clone.folder / path).exists()
    assert key not in cached(clone)
    # DVC takes the files of a folder for granted where its listing is.
    for gone in (key, out_key(origin, path)):
        bucket.delete(PREFIX + gone)
    assert "2 files pushed" in origin.dvc("push").stdout
    clone.dvc("pull", path)
    assert (clone.folder / path / name).read_bytes() == right == bucket.read(PREFIX + key)


def test_what_is_wrong_with_the_remote_is_said(origin: ProjectCopy, account: Account, tmp_path: Path) -> None:
    project, clone = origin.clone(tmp_path / "project"), GitClone(origin, tmp_path / "clone")
    wrong = {
        "Forbidden": {"secret_access_key": "wrong"},
        "NoSuchBucket": {"url": "s3://no-such-bucket/project"},
    }

    for told, instead in wrong.items():
        sign_in(project, account, **instead)
        sign_in(clone, account, **instead)
        pushed, pulled = project.dvc("push", check=False), clone.dvc("pull", check=False)

        assert pushed.returncode != 0
        assert told in pushed.stderr
        assert pulled.returncode != 0
        assert told in pulled.stderr
        assert cached(clone) == {}


def test_credentials_may_stand_in_the_environment(origin: ProjectCopy, account: Account, tmp_path: Path) -> None:
    clone = GitClone(origin, tmp_path / "clone")
    nowhere = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}
    signed = {"AWS_ACCESS_KEY_ID": account.key, "AWS_SECRET_ACCESS_KEY": account.secret}
    words = [sys.executable, "-m", "dvc", "pull", "data/splits.parquet"]

    def pull(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        env = environment() | nowhere | env
        return subprocess.run(words, cwd=clone.folder, env=env, capture_output=True, text=True, check=False)

    assert "Unable to locate credentials" in pull({}).stderr
    assert pull(signed).returncode == 0
    assert (clone.folder / "data" / "splits.parquet").exists()


def test_credentials_are_not_committed(origin: ProjectCopy, account: Account) -> None:
    assert origin.git("status", "--porcelain") == ""
    assert "verify = true" in origin.git("show", "HEAD:.dvc/config")
    assert account.secret in (origin.folder / ".dvc" / "config.local").read_text()
    assert origin.git("log", "--all", "--patch", f"-S{account.secret}") == ""
