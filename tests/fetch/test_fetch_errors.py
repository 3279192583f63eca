"""What keeps the stage from fetching is said in one line, and nothing is written."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.fetch.fetch import Repositories, run
from stages.fetch.snapshot import matching
from stages.shared import stage
from tests.fetch.fetch_run import DATA, FILES, FetchRun
from tests.fetch.hub_project import entry
from tests.hub_server import Fault

BASE = entry("org/base", DATA)
OFFLINE = (
    "HF_HUB_OFFLINE is set, and not all of it is in the cache of huggingface_hub; `dvc pull` brings what was pushed"
)
CLOSED = "not on the Hub, or of another kind, or private: then HF_TOKEN must be a token that opens it"
LATER = "run again later, nothing is done twice"
UNKNOWN = "the Hub knows no such revision"
NO_TOKEN = "the Hub does not accept the token in HF_TOKEN, or what it is used for"
FORBIDDEN = f"{NO_TOKEN} (403: scripted)"
INVALID = "Invalid credentials in Authorization header"
WRONG_TOKEN = {"X-Error-Message": INVALID}
REFUSED: dict[str, tuple[dict[str, Any], Fault | None, dict[str, str], str]] = {
    "no network and no cache": (BASE, None, {"HF_HUB_OFFLINE": "1"}, OFFLINE),
    "no network and a commit": (BASE | {"revision": "a" * 40}, None, {"HF_HUB_OFFLINE": "1"}, OFFLINE),
    "no repository": (entry("org/none", DATA), None, {}, CLOSED),
    "private and no token": (entry("org/private", DATA), None, {"HF_TOKEN": ""}, CLOSED),
    "gated": (
        BASE,
        Fault(status=403, headers={"X-Error-Code": "GatedRepo"}),
        {},
        "gated: ask for access on its page of the Hub, and set HF_TOKEN to a token that has it",
    ),
    "a wrong token": (BASE, Fault(status=401, headers=WRONG_TOKEN), {}, f"{NO_TOKEN} (401: {INVALID} scripted)"),
    "a token without rights": (BASE, Fault(status=403), {}, FORBIDDEN),
    "no branch or tag": (BASE | {"revision": "v9"}, None, {}, UNKNOWN),
    "no commit": (BASE | {"revision": "b" * 40}, None, {}, UNKNOWN),
    "no commit that begins so": (BASE | {"revision": "bbbbbbb"}, None, {}, UNKNOWN),
    "another kind": (BASE | {"kind": "model"}, None, {}, CLOSED),
    "busy for long": (
        BASE,
        Fault(status=429, headers={"Retry-After": "400"}),
        {},
        f"resolve the revision: too many requests, and asks to wait more than 300 s; {LATER}",
    ),
    "a pattern without a file": (
        entry("org/base", DATA, "trian-*"),
        None,
        {},
        "no file matches 'trian-*'; there are .gitattributes, " + ", ".join(FILES),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_hub_refuses_is_named(fetch: FetchRun, case: str) -> None:
    wanted, fault, env, message = REFUSED[case]
    fetch.hub.add("datasets", "org/private", FILES, private=True)
    fetch.hub.script = lambda _: fault

    told = fetch.refused(wanted, **env)

    assert told == f"fetch: {wanted['kind']} {wanted['repo']} at {wanted['revision']}: {message}"


def test_a_hub_that_is_not_there_is_named_with_what_helps(fetch: FetchRun) -> None:
    fetch.hub.stop()

    told = fetch.refused(BASE)

    assert told == (
        "fetch: dataset org/base at main: resolve the revision: no answer (ConnectError); run again later, nothing is "
        "done twice; `dvc pull` brings what was pushed"
    )


def test_files_that_another_program_cached_one_by_one_are_not_taken_for_all(fetch: FetchRun) -> None:
    """Without the list of files nobody knows what a pattern stands for."""
    code = "from huggingface_hub import hf_hub_download as get"
    for path in FILES:
        code += f"; get('org/base', {path!r}, repo_type='dataset')"
    fetch.in_python(code)

    assert fetch.refused(BASE, HF_HUB_OFFLINE="1") == f"fetch: dataset org/base at main: {OFFLINE}"


def test_a_refresh_needs_the_network(fetch: FetchRun) -> None:
    """The cache would answer with the commit that another number has asked for."""
    fetch.fetched(BASE)
    second = fetch.hub.add("datasets", "org/base", {"data/more.parquet": b"PAR3"})

    assert fetch.refused(BASE | {"refresh": 1}, HF_HUB_OFFLINE="1") == (
        "fetch: dataset org/base at main: refresh 1 asks the Hub, which needs the network: HF_HUB_OFFLINE is set"
    )
    assert fetch.commit(BASE | {"refresh": 1}) == second


def test_a_file_that_the_hub_does_not_give_leaves_nothing(fetch: FetchRun) -> None:
    """The others came, and stay in the cache."""
    fetch.hub.script = lambda request: Fault(status=403) if "train-00001" in request.path else None

    assert fetch.refused(BASE) == f"fetch: dataset org/base at main: {FORBIDDEN}"


def test_a_file_that_was_damaged_in_the_cache_is_found_out(fetch: FetchRun) -> None:
    """A large one, which the cache names by its SHA-256, and a small one, by its git hash."""
    fetch.fetched(BASE)
    for name in ("data/train-00000-of-00002.parquet", "LICENSE"):
        (cached,) = fetch.home.glob(f"hub/datasets--org--base/snapshots/*/{name}")
        whole = cached.read_bytes()
        cached.resolve().write_bytes(whole[:-1] + b"?")

        assert fetch.refused(BASE) == f"fetch: dataset org/base at main: {cached} is damaged: remove it and run again"
        cached.resolve().write_bytes(whole)


def test_a_damaged_file_is_found_out_also_where_the_cache_has_no_links(fetch: FetchRun) -> None:
    whole = fetch.fetched(BASE)
    for name in ("data/train-00000-of-00002.parquet", "LICENSE"):
        (cached,) = fetch.home.glob(f"hub/datasets--org--base/snapshots/*/{name}")
        cached.unlink()
        cached.write_bytes(whole[name][:-1] + b"?")

        assert fetch.refused(BASE) == f"fetch: dataset org/base at main: {cached} is damaged: remove it and run again"
        cached.write_bytes(whole[name])
    assert fetch.fetched(BASE) == whole


@pytest.mark.parametrize("path", ["revision.json", "data/revision.json"])
def test_a_repository_with_a_file_of_the_name_of_the_note_is_refused(fetch: FetchRun, path: str) -> None:
    """In a folder it would say where the rows of that folder are from."""
    fetch.hub.add("datasets", "org/base", {path: b"{}"})

    assert fetch.refused(BASE | {"files": ["*"]}) == (
        f"fetch: dataset org/base at main: {path} of the repository has the name of the note that this stage writes"
    )


@pytest.mark.parametrize("path", ["data/../../other/train.parquet", "../base2/train.parquet", "/etc/train.parquet"])
def test_a_path_that_leaves_the_repository_is_refused(path: str) -> None:
    """No git tree has one, a server may tell of one."""
    with pytest.raises(ValueError, match=f"^the file '{re.escape(path)}' is outside of the repository$"):
        matching(["data/train.parquet", path], ["*"])


@pytest.mark.parametrize("content", ["{", "[]", '{"dataset/org/base@main#0": 1}'])
def test_a_damaged_record_of_commits_is_named(fetch: FetchRun, content: str) -> None:
    (fetch.folder / "stages" / "fetch" / "revisions.json").write_text(content)

    assert fetch.refused(BASE).startswith("fetch: dataset org/base at main: stages/fetch/revisions.json: ")
    assert fetch.hub.received == []


KNOBS: dict[str, tuple[dict[str, Any], str]] = {
    "no owner": (
        {"repo": "base"},
        "base.repo: String should match pattern '^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$' (got 'base')",
    ),
    "another kind": ({"kind": "space"}, "base.kind: Input should be 'dataset' or 'model' (got 'space')"),
    "a number": ({"revision": 1576375}, "base.revision: Input should be a valid string (got 1576375)"),
    "no revision": ({"revision": ""}, "base.revision: String should have at least 1 character (got '')"),
    "no files": ({"files": []}, "base.files: List should have at least 1 item after validation, not 0 (got [])"),
    "one pattern": ({"files": "*"}, "base.files: Input should be a valid list (got '*')"),
    "below zero": ({"refresh": -1}, "base.refresh: Input should be greater than or equal to 0 (got -1)"),
    "unknown": ({"branch": "main"}, "base.branch: Extra inputs are not permitted (got 'main')"),
}


@pytest.mark.parametrize("case", KNOBS)
def test_a_wrong_knob_is_named(tmp_path: Path, case: str) -> None:
    change, message = KNOBS[case]
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({"fetch": {"base": BASE | change}}))

    with pytest.raises(ValueError, match=f"^{re.escape(f'{file}: fetch.{message}')}$"):
        stage.read_section("fetch", Repositories, file)


def test_a_name_without_an_entry_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^params\.yaml: the section 'fetch' has no entry 'other'$"):
        run(Repositories.model_validate({"base": BASE}), name="other", folder=tmp_path / "other")
