"""What a version says it was made from, in a project with real DVC stages."""

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import yaml

from stages.commands.publishing.card import parts
from stages.commands.publishing.lineage import reproduced
from stages.shared.hub.hub_folder import HubFolder
from tests.project_copy import environment

FOLDER = "data/datasets/"
BESIDE = Path("data/metrics/lengths.json")


def dvc(root: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *words], cwd=root, check=True, capture_output=True, env=environment())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset made in two stages, from two commits of a fetched repository and a file elsewhere on this machine."""
    root = tmp_path_factory.mktemp("lineage") / "project"
    pins = root.parent / "pins.csv"
    pins.write_text("pins")
    others = [root.parent / name / "pins.csv" for name in ("a", "b")]
    for other in others:
        other.parent.mkdir()
        other.write_text(other.parent.name)
    note = HubFolder(repo="org/base", kind="dataset", revision="main", commit="c" * 40, license="mit", files={})
    for folder in ("stages/fetch", "note", "older", "data/datasets", "data/hub", "data/metrics"):
        (root / folder).mkdir(parents=True)
    note.write(root / "note")
    msgspec.structs.replace(note, commit="a" * 40).write(root / "older")
    (root / "code.py").write_text("code")
    params = {"ingest": {"base": "data/hub/base", "pins": str(pins)}, "lengths": {"step": 1}, "fetch": {"base": "x"}}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    main = {
        "ingest": {
            "cmd": "cp code.py data/records",
            "deps": ["data/hub/base", "data/hub/older", "code.py", str(pins), *map(str, others)],
            "params": ["ingest"],
            "outs": ["data/records"],
        },
        "build": {
            "foreach": ["unique", "evals"],
            "do": {
                "cmd": "cp data/records data/datasets/${item}",
                "deps": ["data/records"],
                "outs": ["data/datasets/${item}"],
            },
        },
        "lengths": {
            "cmd": "echo 1 > data/metrics/lengths.json",
            "params": ["lengths"],
            "metrics": [{"data/metrics/lengths.json": {"cache": False}}],
        },
    }
    fetch = {
        "fetch": {
            "cmd": "cp -r note data/hub/base",
            "wdir": "../..",
            "deps": ["note"],
            "params": [{"params.yaml": ["fetch.base"]}],
            "outs": ["data/hub/base"],
        },
        "older": {"cmd": "cp -r older data/hub/older", "wdir": "../..", "deps": ["older"], "outs": ["data/hub/older"]},
    }
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": main}))
    (root / "stages/fetch/dvc.yaml").write_text(yaml.safe_dump({"stages": fetch}))
    dvc(root, "init", "--quiet", "--no-scm")
    dvc(root, "repro", "--quiet", "--all-pipelines")
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy."""
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def test_it_goes_back_to_what_no_stage_wrote(root: Path) -> None:
    """Also through the optional pipelines. Where things are on this machine is not told."""
    found = reproduced(root, FOLDER, "all", BESIDE)

    assert list(found) == ["evals", "unique"]
    unique = found["unique"]
    assert unique.stage == "build@unique"
    assert list(unique.deps) == ["data/records"]
    lengths = {path: len(md5) for path, md5 in unique.inputs.items()}
    assert lengths == {"code.py": 32, "note": 36, "older": 36, "pins.csv": 32} | {
        "pins.csv (2)": 32,
        "pins.csv (3)": 32,
    }
    assert len({unique.inputs[path] for path in unique.inputs if path.startswith("pins.csv")}) == 3
    assert unique.params == {"fetch.base": "x", "ingest": {"base": "data/hub/base", "pins": "pins.csv"}}
    assert unique.sources == {"org/base": f"{'a' * 40}, {'c' * 40}"}


@pytest.mark.parametrize(
    ("path", "old", "new", "why"),
    [
        ("code.py", "code", "other", r"ingest does not match dvc.lock \(changed deps: code.py modified\)"),
        ("params.yaml", "step: 1", "step: 2", r"lengths does not match dvc.lock \(changed deps: lengths modified\)"),
        ("dvc.yaml", "cp data/records", "cp  data/records", r"does not match dvc.lock \(changed command\)"),
    ],
)
def test_what_is_not_reproduced_is_refused(root: Path, path: str, old: str, new: str, why: str) -> None:
    """Of the dataset, of anything before it, and of the out that is asked for besides."""
    before = (root / path).read_text()
    assert old in before
    (root / path).write_text(before.replace(old, new))

    with pytest.raises(ValueError, match=f"{why}: run `dvc repro` or `dvc pull`"):
        reproduced(root, FOLDER, "unique", BESIDE)


def test_a_missing_out_is_refused_where_it_is_published(root: Path) -> None:
    (root / "data/datasets/evals").unlink()

    assert list(reproduced(root, FOLDER, "unique", BESIDE)) == ["unique"]
    with pytest.raises(ValueError, match=r"changed outs: data/datasets/evals deleted"):
        reproduced(root, FOLDER, "all", BESIDE)


def test_an_item_that_is_no_longer_declared_is_not_published(root: Path) -> None:
    """DVC keeps its entry in dvc.lock."""
    declared = (root / "dvc.yaml").read_text()
    assert "    - evals\n" in declared
    (root / "dvc.yaml").write_text(declared.replace("    - evals\n", ""))

    assert list(reproduced(root, FOLDER, "all", BESIDE)) == ["unique"]


def test_a_folder_without_dvc_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dvc: "):
        reproduced(tmp_path, FOLDER, "all", BESIDE)


@pytest.mark.parametrize("card", ["# No header\n", "---\nno end\n", "---\n- a list\n---\n"])
def test_a_card_without_a_header_is_told_of(card: str) -> None:
    with pytest.raises(ValueError, match=r"README\.md: expected a YAML header"):
        parts(card)
