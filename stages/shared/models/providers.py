"""Where a request goes and with which key. All of it comes from the environment, none of it into a result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Provider = Literal["prime", "openai", "vllm", "custom"]
_PRIME_HOST = "pinference.ai"
_BASE_URLS = {"prime": f"https://api.{_PRIME_HOST}/api/v1", "openai": "https://api.openai.com/v1"}
_KEYS = {"prime": "PRIME_API_KEY", "openai": "OPENAI_API_KEY"}


@dataclass(frozen=True)
class Access:
    """One base URL with what it needs to be used."""

    base_url: str
    api_key: str
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        """Without the key: this text may end in a log."""
        return f"Access({self.base_url})"


def accesses(provider: Provider, env: Mapping[str, str]) -> list[Access]:
    """The endpoints of a provider, one or more.

    Raises:
        ValueError: the variable that must be set.
    """
    urls = [url.strip().rstrip("/") for url in (env.get("LLM_BASE_URL") or _BASE_URLS.get(provider, "")).split(",")]
    urls = [url for url in urls if url]
    if not urls:
        raise ValueError(f"the provider {provider} needs LLM_BASE_URL: one URL, or several with commas between them")
    for url in urls:
        parts = urlsplit(url)
        if "@" in url or parts.query:
            raise ValueError("LLM_BASE_URL: expected a URL without user and query: a key belongs in LLM_API_KEY")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"LLM_BASE_URL: expected http(s)://host/path, got {url!r}")
    variable = _KEYS.get(provider)
    key = env.get("LLM_API_KEY") or (env.get(variable) if variable else None)
    if variable and not key:
        raise ValueError(f"the provider {provider} needs {variable} (or LLM_API_KEY) in the environment or in .env")
    return [Access(url, key or "none", _headers(provider, url, env)) for url in urls]


def _headers(provider: Provider, url: str, env: Mapping[str, str]) -> dict[str, str]:
    """The team goes to Prime's own host and to no other, whatever the base URL says."""
    host = urlsplit(url).hostname or ""
    team = env.get("PRIME_TEAM_ID")
    is_prime = host == _PRIME_HOST or host.endswith(f".{_PRIME_HOST}")
    return {"X-Prime-Team-ID": team} if provider == "prime" and team and is_prime else {}
