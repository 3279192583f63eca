"""A `vllm serve` that lives as long as a stage has something to ask."""

import logging
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil

from stages.rollout import leash
from stages.shared.interruption import abandoned, handling, stopped_by
from stages.shared.models.chat_client import ServerError
from stages.shared.models.providers import Access
from stages.shared.settings import number
from stages.shared.starters import are_there, starters

log = logging.getLogger("served_model")
_HOST = "127.0.0.1"
_START_S = 3600.0
_PATIENCE_S = 120.0
_CHECKED_EVERY_S = 5.0
_OWN_VARIABLES = frozenset({"VLLM_EXECUTABLE", "VLLM_START_S"})
_LOOK_EVERY_S = 0.5
_TOLD_EVERY_S = 10.0
_SHOWN_LINES = 20
_LINE_CHARACTERS = 200
_SECRET = re.compile(r"--?(?:[\w.-]*[_.-])?(?:token|key|secret|password)(?:=(.*))?", re.IGNORECASE | re.DOTALL)
"""A flag whose value must not be shown."""


class ServedModel:
    """The server of one model: a port of its own on loopback, a key of its own, output into a file."""

    def __init__(self, model: str, flags: list[str], env: Mapping[str, str], log_file: Path) -> None:
        self._model = model
        self._flags = flags
        self._env = env
        self._log_file = log_file
        self._secrets = secret_values(flags)
        self._patience_s = number(env, "LLM_PATIENCE_S", positive=True) or _PATIENCE_S
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._healthy_at = self._checked_at = 0.0

    def start(self) -> Access:
        """Start the server; return when it is healthy.

        Raises:
            ValueError: there is no vllm, it ended, it took too long, or this process is told to stop.
        """
        limit_s = number(self._env, "VLLM_START_S", positive=True) or _START_S
        executable = _executable(self._env)
        with socket.socket() as taken:
            taken.bind((_HOST, 0))
            port = self._port = taken.getsockname()[1]
        key = secrets.token_hex(16)
        own = ["--served-model-name", self._model, "--host", _HOST, "--port", str(port)]
        words = [executable, "serve", self._model, *self._flags, *own]
        log.info("starting %s, output in %s", self._clean(shlex.join(words)), self._log_file)
        with self._log_file.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, leash.__file__, *words],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={name: text for name, text in self._env.items() if name not in _OWN_VARIABLES}
                | {"VLLM_API_KEY": key},
                start_new_session=True,
            )
        with handling(_interrupt):
            self._wait(limit_s)
        return Access(f"http://{_HOST}:{port}/v1", key, {})

    def fault(self) -> ValueError | None:
        """Why the server is gone or hangs, None while it is well; the end of the output of one that ended is logged."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            return self._hanging()
        lines = self._last_lines()
        for line in lines:
            log.error("vllm: %s", line)
        told = f": {lines[-1]}" if lines else ""
        return ServerError(f"vllm serve ended with exit code {self._process.returncode} ({self._log_file}){told}")

    def stop(self) -> None:
        """End the server and what it started, if it was started."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
            _end_session(self._process.pid)

    def _hanging(self) -> ValueError | None:
        """Why a server that runs will answer no more: it was asked again and again, and is not healthy any more."""
        now = time.monotonic()
        if self._healthy_at and now - self._checked_at >= min(_CHECKED_EVERY_S, self._patience_s):
            healthy = _is_healthy(self._port)
            self._checked_at = time.monotonic()
            if healthy:
                self._healthy_at = self._checked_at
            elif self._checked_at - self._healthy_at > self._patience_s:
                silent = self._checked_at - self._healthy_at
                return ServerError(f"vllm serve runs, and has not been healthy for {silent:.0f} s ({self._log_file})")
        return None

    def _wait(self, limit_s: float) -> None:
        parents, began = starters(), time.monotonic()
        told = began
        while not _is_healthy(self._port):
            now = time.monotonic()
            if fault := self.fault():
                raise fault
            if not are_there(parents):
                raise abandoned()
            lines = self._last_lines()
            if now - began > limit_s:
                raise ServerError(
                    f"vllm serve is not healthy after VLLM_START_S = {limit_s:.0f} s ({self._log_file}): "
                    f"{lines[-1] if lines else 'no output'}"
                )
            if now - told >= _TOLD_EVERY_S:
                told = now
                log.info("waiting for vllm serve, %.0f s: %s", now - began, lines[-1] if lines else "no output yet")
            time.sleep(_LOOK_EVERY_S)
        self._healthy_at = self._checked_at = time.monotonic()
        log.info("vllm serve is healthy after %.0f s", self._healthy_at - began)

    def _last_lines(self) -> list[str]:
        with self._log_file.open("rb") as output:
            output.seek(max(0, output.seek(0, os.SEEK_END) - 100 * _LINE_CHARACTERS))
            lines = output.read().decode(errors="replace").splitlines()
        return [self._clean(line.rstrip()[:_LINE_CHARACTERS]) for line in lines if line.strip()][-_SHOWN_LINES:]

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def secret_values(flags: list[str]) -> list[str]:
    """What no log may show: the values of flags that hold a token, a key, a secret or a password."""
    found = []
    for flag, following in zip(flags, [*flags[1:], ""], strict=True):
        if named := _SECRET.fullmatch(flag):
            found.append(following if named[1] is None else named[1])
    return [value for value in found if value and not value.startswith("-")]


def _end_session(session: int) -> None:
    """Kill what is left of a session: a leash that was killed ended nobody."""
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(process.pid) == session:
                process.send_signal(signal.SIGKILL)


def _executable(env: Mapping[str, str]) -> str:
    places = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])
    named = env.get("VLLM_EXECUTABLE")
    found = shutil.which(named or "vllm", path=places)
    if found is None:
        missing = f"VLLM_EXECUTABLE = {named}, which is no program" if named else "vllm (uv sync --extra vllm)"
        raise ValueError(f"serve: managed needs {missing}")
    return found


def _is_healthy(port: int) -> bool:
    # Not urllib, which may ask a proxy.
    connection = HTTPConnection(_HOST, port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _interrupt(signal_number: int) -> None:
    """So that a signal ends the wait, and the server with it."""
    raise stopped_by(signal_number)
