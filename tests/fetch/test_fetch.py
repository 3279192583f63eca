"""What is fetched, at which commit, and what of it needs the network."""

import hashlib
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stages.fetch.fetch import card_license
from stages.fetch.revisions import record, recorded
from tests.fetch.fetch_run import DATA, FILES, FetchRun
from tests.fetch.hub_project import entry
from tests.hub_api import READ_TOKEN
from tests.hub_server import Fault, Received, no_faults

LOCK = Path("stages/fetch/revisions.json")


def test_files_are_as_the_hub_lays_them_out_with_a_note_of_what_they_are(fetch: FetchRun) -> None:
    """The card and the licence come along. Another machine gets the same bytes."""
    expected = {path: content for path, content in FILES.items() if path != "notes/more.json"}
    told = {"repo": "org/base", "revision": "main", "commit": fetch.first, "license": "mit"}
    hashes = {path: hashlib.sha256(content).hexdigest() for path, content in expected.items()}

    found = fetch.fetched(entry("org/base", DATA))

    note = json.dumps(told | {"kind": "dataset", "files": hashes}, indent=2, sort_keys=True)
    assert found == expected | {"revision.json": f"{note}\n".encode()}
    fetch.home = fetch.folder / "elsewhere"
    (fetch.folder / LOCK).unlink()
    assert fetch.fetched(entry("org/base", DATA)) == found


def test_a_tokenizer_takes_its_template_along_and_leaves_the_weights(fetch: FetchRun) -> None:
    names = ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json"]
    fetch.hub.add("models", "org/model", {name: name.encode() for name in [*names, "model.safetensors", "config.json"]})

    found = fetch.fetched(entry("org/model", "tokenizer*.json", kind="model"))

    assert sorted(found) == ["chat_template.jinja", "revision.json", "tokenizer.json", "tokenizer_config.json"]
    assert sorted(fetch.gets()) == names


def test_a_branch_is_resolved_once_and_again_when_asked(fetch: FetchRun) -> None:
    """Also where the cache is lost: the record is a file of the project."""
    assert fetch.commit(entry("org/base", DATA)) == fetch.first
    second = fetch.hub.add("datasets", "org/base", {"data/train-00002.parquet": b"PAR3"})
    fetch.home = fetch.folder / "elsewhere"

    assert fetch.commit(entry("org/base", DATA)) == fetch.first
    assert fetch.commit(entry("org/base", DATA, refresh=1)) == second
    assert (fetch.out / "data" / "train-00002.parquet").read_bytes() == b"PAR3"
    assert fetch.commit(entry("org/base", DATA)) == fetch.first
    assert not (fetch.out / "data" / "train-00002.parquet").exists()

    assert len(fetch.hub.calls("info")) == 2
    assert (fetch.folder / LOCK).read_text() == (
        f'{{\n  "dataset/org/base@main#0": "{fetch.first}",\n  "dataset/org/base@main#1": "{second}"\n}}\n'
    )


def test_a_tag_and_a_commit_are_revisions_and_nobody_is_asked_what_a_commit_is(fetch: FetchRun) -> None:
    second = fetch.hub.add("datasets", "org/base", {"data/train-00002.parquet": b"PAR3"}, tag="v2")

    assert fetch.commit(entry("org/base", DATA, revision=fetch.first)) == fetch.first
    assert fetch.hub.calls("info", "commits") == []
    assert not (fetch.folder / LOCK).exists()
    assert fetch.commit(entry("org/base", DATA, revision="v2")) == second


def test_an_abbreviated_commit_is_looked_up_among_the_commits(fetch: FetchRun) -> None:
    """Later runs go by its record, so that no new commit makes it ambiguous."""
    commit = f"1576375b{'c' * 32}"
    fetch.rename(fetch.first, commit)
    assert fetch.commit(entry("org/base", DATA, revision="1576375b")) == commit
    assert fetch.hub.calls("info") == []

    later = fetch.hub.add("datasets", "org/base", {"data/more.parquet": b"PAR3"})
    fetch.rename(later, f"1576375b{'d' * 32}")

    assert fetch.commit(entry("org/base", DATA, revision="1576375b")) == commit
    assert fetch.refused(entry("org/base", DATA, revision="1576375")) == (
        "fetch: dataset org/base at 1576375: several commits begin with 1576375: "
        f"1576375b{'d' * 32}, 1576375b{'c' * 32}"
    )


def test_a_warm_cache_needs_no_network(fetch: FetchRun) -> None:
    """Be it of this stage or of another program."""
    whole = fetch.fetched(entry("org/base", DATA))
    requests = len(fetch.hub.received)
    assert fetch.fetched(entry("org/base", DATA), HF_HUB_OFFLINE="1") == whole
    assert len(fetch.hub.received) == requests

    (fetch.folder / LOCK).unlink()
    fetch.home = fetch.folder / "other"
    fetch.in_python("from huggingface_hub import snapshot_download as get; get('org/base', repo_type='dataset')")
    requests = len(fetch.hub.received)
    assert fetch.fetched(entry("org/base", DATA), HF_HUB_OFFLINE="1") == whole
    assert len(fetch.hub.received) == requests


def test_an_interrupted_download_leaves_nothing_and_goes_on_from_the_cache(fetch: FetchRun) -> None:
    """Killed while the last file is on its way."""
    slow = "train-00001-of-00002.parquet"
    others = {"LICENSE", "README.md", "train-00000-of-00002.parquet"}
    fetch.hub.script = lambda request: Fault(delay_s=60) if slow in request.path and request.method == "GET" else None
    process = fetch.start(entry("org/base", DATA))
    while slow not in fetch.gets() or not others <= {path.name for path in fetch.home.glob("hub/*/snapshots/**/*")}:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not fetch.out.exists()
    before = len(fetch.gets())

    fetch.hub.script = no_faults
    found = fetch.fetched(entry("org/base", DATA))

    assert fetch.gets()[before:] == [slow]
    assert found[f"data/{slow}"] == FILES[f"data/{slow}"]
    assert [path.name for path in fetch.out.parent.iterdir()] == ["base"]


def test_a_lost_connection_is_no_failure(fetch: FetchRun) -> None:
    broken = "train-00000-of-00002.parquet"

    def once(request: Received) -> Fault | None:
        first = broken in request.path and request.method == "GET" and fetch.gets().count(broken) == 1
        return Fault(cut="during") if first else None

    fetch.hub.script = once

    assert fetch.fetched(entry("org/base", DATA))[f"data/{broken}"] == FILES[f"data/{broken}"]
    assert fetch.gets().count(broken) == 2


@pytest.mark.parametrize("call", ["info", "tree", "resolve"])
@pytest.mark.parametrize("fault", [Fault(status=429, headers={"Retry-After": "1"}), Fault(status=500)], ids=repr)
def test_a_hub_that_is_busy_or_broken_once_is_no_failure(fetch: FetchRun, call: str, fault: Fault) -> None:
    once = {call: fault}
    fetch.hub.script = lambda request: once.pop(request.call, None) if request.method == "GET" else None

    assert fetch.commit(entry("org/base", DATA)) == fetch.first
    assert once == {}


def test_a_path_is_that_file_whatever_its_brackets_mean_in_a_pattern(fetch: FetchRun) -> None:
    fetch.hub.add("datasets", "org/base", {"data/[ab].json": b"{}", "data/a.json": b"[]"})

    found = fetch.fetched(entry("org/base", "data/[ab].json"))

    assert [path for path in found if path.startswith("data/")] == ["data/[ab].json"]
    assert found["data/[ab].json"] == b"{}"
    assert "data/a.json" in fetch.fetched(entry("org/base", "data/[ab].js*"))


def test_a_run_that_fails_leaves_the_revision_open(fetch: FetchRun) -> None:
    """Else what the branch gets afterwards could not be fetched without another `refresh`."""
    assert "no file matches 'new/*'" in fetch.refused(entry("org/base", "new/*"))
    assert not (fetch.folder / LOCK).exists()
    second = fetch.hub.add("datasets", "org/base", {"new/rows.json": b"{}"})

    assert fetch.commit(entry("org/base", "new/*")) == second


def test_of_two_runs_the_slower_one_fetches_what_the_faster_one_resolved(fetch: FetchRun) -> None:
    """The branch moves on between them; here the record of the faster run comes while the other one downloads."""

    def script(request: Received) -> Fault | None:
        if request.call == "tree":
            record(fetch.folder, "dataset/org/base@main#0", fetch.first)
        return None

    fetch.hub.add("datasets", "org/base", {"data/train-00000-of-00002.parquet": b"PAR3"})
    fetch.hub.script = script

    found = fetch.fetched(entry("org/base", DATA))

    assert json.loads(found["revision.json"])["commit"] == fetch.first
    assert found["data/train-00000-of-00002.parquet"] == FILES["data/train-00000-of-00002.parquet"]


def test_the_token_may_stand_in_the_env_file(fetch: FetchRun) -> None:
    fetch.hub.add("datasets", "org/private", FILES, private=True)
    (fetch.folder / ".env").write_text(f"HF_TOKEN={READ_TOKEN}\n")

    fetch.fetched(entry("org/private", DATA), HF_TOKEN="")

    assert {request.token for request in fetch.hub.received} == {READ_TOKEN}


def test_of_runs_at_the_same_time_the_first_resolution_counts(tmp_path: Path) -> None:
    """And none is lost: each thread records a revision of its own, and one that all of them ask for."""
    (tmp_path / "stages" / "fetch").mkdir(parents=True)

    def resolve(n: int) -> str:
        record(tmp_path, f"dataset/org/{n}@main#0", f"{n}")
        return record(tmp_path, "dataset/org/shared@main#0", f"{n}")

    with ThreadPoolExecutor(8) as threads:
        counted = set(threads.map(resolve, range(32)))

    commits = recorded(tmp_path)
    assert counted == {commits.pop("dataset/org/shared@main#0")}
    assert commits == {f"dataset/org/{n}@main#0": f"{n}" for n in range(32)}


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ("\ufeff---\r\npretty_name: Rows\r\nlicense: apache-2.0\r\n---\r\n# Rows", "apache-2.0"),
        ("---\nlicense: [mit, apache-2.0]\n---\n# Rows", "mit, apache-2.0"),
        ("---\nlicense: other\nlicense_name: reciprocity\n---\n", "reciprocity"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense: other\nlicense_name: [a]\n---\n", "other"),
        ("---\nlicense: {mit: yes}\n---\n", None),
        ("---\nlicense: [mit, [mit]]\n---\n", None),
        ("---\nlicense: []\n---\n", None),
        ("---\nupdated: 2026-99-99\nlicense: mit\n---\n", None),
        (f"---\nlicense: {'[' * 500}\n---\n", None),
        ("---\ntags: [code]\n---\n", None),
        ("---\nlicense: [\n---\n", None),
        ("---\n- license\n---\n", None),
        ("# Rows\n\nlicense: mit", None),
        ("", None),
        (None, None),
    ],
)
def test_the_licence_is_that_of_the_card(tmp_path: Path, card: str | None, expected: str | None) -> None:
    if card is not None:
        (tmp_path / "README.md").write_bytes(card.encode())

    assert card_license(tmp_path / "README.md") == expected
