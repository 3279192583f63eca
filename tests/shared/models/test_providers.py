from typing import Any

import pytest

from stages.shared.models.providers import Access, Provider, accesses

KEY = "sk-secret-0123456789"


@pytest.mark.parametrize(
    ("provider", "env", "expected"),
    [
        ("openai", {"OPENAI_API_KEY": KEY}, [("https://api.openai.com/v1", KEY)]),
        ("openai", {"OPENAI_API_KEY": "own", "LLM_API_KEY": KEY}, [("https://api.openai.com/v1", KEY)]),
        ("openai", {"OPENAI_API_KEY": KEY, "LLM_BASE_URL": ""}, [("https://api.openai.com/v1", KEY)]),
        (
            "vllm",
            {"LLM_BASE_URL": "http://a:1/v1, http://b:2/v1/,"},
            [("http://a:1/v1", "none"), ("http://b:2/v1", "none")],
        ),
        ("custom", {"LLM_BASE_URL": "https://x/v1", "OPENAI_API_KEY": KEY}, [("https://x/v1", "none")]),
    ],
)
def test_urls_and_keys_come_from_the_environment(
    provider: Provider, env: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    assert [(access.base_url, access.api_key) for access in accesses(provider, env)] == expected


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        (None, True),
        ("https://pinference.ai/v1", True),
        ("https://proxy.example/v1", False),
        ("https://notpinference.ai/v1", False),
        ("https://pinference.ai.example/v1", False),
        ("https://example/pinference.ai", False),
    ],
)
def test_the_team_goes_to_the_host_of_its_provider_only(url: str | None, sent: bool) -> None:
    env = {"PRIME_API_KEY": KEY, "PRIME_TEAM_ID": "team"} | ({"LLM_BASE_URL": url} if url else {})

    assert accesses("prime", env)[0].headers == ({"X-Prime-Team-ID": "team"} if sent else {})
    assert accesses("custom", {**env, "LLM_BASE_URL": "https://api.pinference.ai/v1"})[0].headers == {}


@pytest.mark.parametrize(
    ("provider", "env", "message"),
    [
        ("prime", {}, "the provider prime needs PRIME_API_KEY (or LLM_API_KEY) in the environment or in .env"),
        ("openai", {"PRIME_API_KEY": KEY}, "the provider openai needs OPENAI_API_KEY"),
        ("custom", {}, "the provider custom needs LLM_BASE_URL: one URL, or several with commas between them"),
        ("vllm", {"LLM_BASE_URL": " , "}, "the provider vllm needs LLM_BASE_URL"),
        (
            "custom",
            {"LLM_BASE_URL": "localhost:8000/v1"},
            "LLM_BASE_URL: expected http(s)://host/path, got 'localhost:",
        ),
        (
            "custom",
            {"LLM_BASE_URL": f"https://user:{KEY}@host/v1"},
            "LLM_BASE_URL: expected a URL without user and query",
        ),
        (
            "custom",
            {"LLM_BASE_URL": f"https://host/v1?key={KEY}"},
            "LLM_BASE_URL: expected a URL without user and query",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named_without_a_key(provider: Any, env: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=r"the provider|LLM_BASE_URL") as raised:
        accesses(provider, env)

    assert str(raised.value).startswith(message)
    assert KEY not in str(raised.value)


def test_an_access_is_shown_without_its_key() -> None:
    assert repr(Access("https://x/v1", KEY, {"X-Prime-Team-ID": "team"})) == "Access(https://x/v1)"
