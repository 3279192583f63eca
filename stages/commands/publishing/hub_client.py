"""How `huggingface_hub` asks: it is imported here, and reads the environment then."""

import httpx2
from huggingface_hub import set_client_factory
from huggingface_hub.utils._http import default_client_factory  # nothing public makes what it makes

_TIMEOUTS = ("connect", "read", "write", "pool")


def set_timeout(seconds: float) -> None:
    """Let no request wait longer than this for the next byte: by itself `huggingface_hub` waits for ever.

    Several of its calls say so explicitly, which overrides the timeout of a client, so each request is changed.
    """

    def limit(request: httpx2.Request) -> None:
        given = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {kind: given.get(kind) or seconds for kind in _TIMEOUTS}

    def client() -> httpx2.Client:
        made = default_client_factory()
        made.event_hooks = {**made.event_hooks, "request": [*made.event_hooks["request"], limit]}
        return made

    set_client_factory(client)
