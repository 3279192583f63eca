"""What the sandbox promises, and the refusal to run untrusted code where a promise cannot be kept."""

from stages.shared.kernels.sandbox.confinement import Mechanisms
from stages.shared.settings import environment, project_root

_OVERRIDE = "VERIFY_UNSANDBOXED"


def gap(mechanisms: Mechanisms, broken: list[str]) -> str:
    """Why a fork server cannot confine its jobs, in one line; empty when it can.

    `broken` are the properties that a job could break. Some gaps show in no probe, so `mechanisms` have to be enough
    as well.
    """
    if mechanisms.enough and not broken:
        return ""
    why = "; ".join(f"{name}: {reason}" for name, reason in mechanisms.missing.items())
    what = f" ({', '.join(broken)})" if broken else ""
    return f"this host cannot confine untrusted code{what}: {why}"


def require(gap: str) -> None:
    """Return when there is no gap, or the user said, in the environment or in `.env`, to go on all the same.

    Raises:
        ValueError: the gap, and the variable.
    """
    if gap and environment(project_root()).get(_OVERRIDE) != "1":
        raise ValueError(f"{gap}; set {_OVERRIDE}=1 to run it without that protection")
