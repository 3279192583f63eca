"""A module of tasks for a fork server in which every task is a probe."""

from collections.abc import Callable
from types import ModuleType

from tests.shared.kernels.sandbox import hostile_files, hostile_processes, hostile_resources, hostile_system_calls
from tests.shared.kernels.sandbox.hostile_attempts import Send

Task = Callable[[bytes, Send], None]


def warm() -> None:
    """Nothing to import."""


def echo(payload: bytes, send: Send) -> None:
    send(payload)


def _tasks(module: ModuleType) -> dict[str, Task]:
    own = {name: value for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    return {name: value for name, value in own.items() if not name.startswith("_")}


TASKS: dict[str, Task] = {
    "echo": echo,
    **_tasks(hostile_files),
    **_tasks(hostile_processes),
    **_tasks(hostile_resources),
    **_tasks(hostile_system_calls),
}
