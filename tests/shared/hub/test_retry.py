import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError

from stages.shared.hub.retry import patiently


def answer(status: int, **headers: str) -> HfHubHTTPError:
    """What `huggingface_hub` raises."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = httpx2.Request("GET", "http://127.0.0.1/")
    return HfHubHTTPError("scripted", response=httpx2.Response(status, headers=named, request=request))


def wrapped(cause: Exception) -> Exception:
    """As an upload in a thread raises it."""
    error = RuntimeError("Error while uploading")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "trouble",
    [answer(429), answer(503), httpx2.ReadTimeout("silent"), httpx2.ConnectError("gone"), wrapped(answer(500))],
    ids=repr,
)
def test_what_may_pass_is_tried_again_until_it_has(trouble: Exception) -> None:
    answers: list[Exception | str] = [trouble, trouble, "done"]

    def call() -> str:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    assert patiently("ask", call, waits_s=(0, 0)) == "done"


def test_what_does_not_pass_ends_in_one_line() -> None:
    def call() -> None:
        raise answer(502)

    with pytest.raises(ValueError, match="ask: the Hub answers 502; run again later, nothing is done twice"):
        patiently("ask", call, waits_s=(0, 0))


@pytest.mark.parametrize(
    "error", [answer(403), answer(412), FileNotFoundError("here"), wrapped(OSError("disk"))], ids=repr
)
def test_what_cannot_pass_is_not_tried_again(error: Exception) -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        patiently("ask", call, waits_s=(0, 0))
    assert len(calls) == 1
