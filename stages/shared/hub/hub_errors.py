"""What the Hub, or the way to it, refuses: said in a line that a user can act on."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def explained(where: str, otherwise: str = "") -> Iterator[None]:
    """Turn errors of the body into a `ValueError` that begins with `where` and says what to do.

    `otherwise` is what helps where there is no network. A `ValueError` of the body may have been caused by its lack.
    """
    from httpx2 import HTTPError  # noqa: PLC0415
    from huggingface_hub import errors  # noqa: PLC0415  # takes 0.3 s

    try:
        yield
    except (
        HTTPError,
        errors.CachedRepoTreeNotFoundError,
        errors.RevisionResolutionError,
        OSError,
        ValueError,
    ) as error:
        raise ValueError(f"{where}: {_reason(error, otherwise and f'; {otherwise}')}") from None


def _reason(error: BaseException, otherwise: str) -> str:
    from httpx2 import TransportError  # noqa: PLC0415
    from huggingface_hub import errors, is_offline_mode  # noqa: PLC0415

    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__:
        # Said when a download fails and the cache does not have the file either.
        error = error.__cause__
    if isinstance(error, errors.GatedRepoError):
        return "gated: ask for access on its page of the Hub, and set HF_TOKEN to a token that has it"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "not on the Hub, or of another kind, or private: then HF_TOKEN must be a token that opens it"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the Hub knows no such revision"
    if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in {401, 403}:
        # A full storage is told by 403 too.
        told = ": ".join(filter(None, [str(error.response.status_code), error.server_message]))
        return f"the Hub does not accept the token in HF_TOKEN, or what it is used for ({told})"
    if is_offline_mode() and isinstance(
        error,
        errors.OfflineModeIsEnabled
        | errors.LocalEntryNotFoundError
        | errors.RevisionResolutionError
        # Files that came one by one: which others their patterns match is not known.
        | errors.CachedRepoTreeNotFoundError,
    ):
        return f"HF_HUB_OFFLINE is set, and not all of it is in the cache of huggingface_hub{otherwise}"
    if isinstance(error, errors.HfHubHTTPError):
        return f"the Hub answered {error.response.status_code} {error.server_message or ''}; run again"
    if isinstance(error, TransportError):
        return f"the Hub cannot be reached ({type(error).__name__}: {error}){otherwise}"
    return str(error) + (otherwise if isinstance(error.__cause__, TransportError) else "")
