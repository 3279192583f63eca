from pathlib import Path

import pytest

from stages.shared.settings import Settings, environment, project_root, store_folder


def test_limits_are_read_and_empty_ones_are_none() -> None:
    limits = {"LLM_CONCURRENCY": "8", "LLM_MAX_REQUESTS": " 100 ", "LLM_MAX_USD": "2.5"}
    found = Settings.read(limits | {"LLM_PATIENCE_S": "60", "LLM_TIMEOUT_S": "1800"})

    assert found == Settings(concurrency=8, max_requests=100, max_usd=2.5, patience_s=60.0, timeout_s=1800.0)
    assert Settings.read({}) == Settings.read({"LLM_CONCURRENCY": "", "LLM_MAX_USD": " "}) == Settings(64, None, None)


@pytest.mark.parametrize(
    ("name", "expected", "refused"),
    [
        ("LLM_CONCURRENCY", "a whole number above 0", ["0", "2.5"]),
        ("LLM_MAX_REQUESTS", "a whole number of 0 or more", ["2.5"]),
        ("LLM_MAX_USD", "a number of 0 or more", []),
        ("LLM_PATIENCE_S", "a number above 0", ["0"]),
        ("LLM_TIMEOUT_S", "a number above 0", ["0"]),
    ],
)
def test_a_limit_that_is_no_such_number_is_named(name: str, expected: str, refused: list[str]) -> None:
    for text in ["many", "-1", "nan", "inf", *refused]:
        with pytest.raises(ValueError, match=f"{name}: expected {expected}, got '{text}'"):
            Settings.read({name: text})


def test_a_cap_of_nothing_is_a_cap() -> None:
    found = Settings.read({"LLM_MAX_REQUESTS": "0", "LLM_MAX_USD": "0"})

    assert (found.max_requests, found.max_usd) == (0, 0.0)


def test_the_environment_is_over_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("# keys\nexport LLM_API_KEY='in file'\nLLM_MAX_USD=3\nEMPTY=\nBARE\n")
    monkeypatch.setenv("LLM_MAX_USD", "1")

    found = environment(tmp_path)

    assert (found["LLM_API_KEY"], found["LLM_MAX_USD"], found["EMPTY"]) == ("in file", "1", "")
    assert "BARE" not in found
    assert "LLM_API_KEY" not in environment(tmp_path / "elsewhere")


def test_the_project_is_what_dvc_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert project_root() == tmp_path

    monkeypatch.delenv("DVC_ROOT")
    assert project_root() == Path.cwd()


def test_a_relative_store_is_the_same_one_in_an_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")

    assert store_folder(tmp_path, {}) == store_folder(tmp_path, {"RESPONSE_STORE": ""}) == tmp_path / ".responses"
    assert store_folder(tmp_path, {"RESPONSE_STORE": "../kept"}) == tmp_path / "../kept"
    assert store_folder(tmp_path, {"RESPONSE_STORE": "/kept"}) == Path("/kept")
    assert store_folder(tmp_path, {"RESPONSE_STORE": "~/kept"}) == Path("/home/someone/kept")
