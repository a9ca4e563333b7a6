"""A web process of ours in tests: `from tests.webprocess import start_web` gives the module a fixture that starts any number."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from rateguard.embedded.process import end, free_port, last_lines, launch

__all__ = ["WebProcess", "answer", "call", "send", "session", "start_web"]

PROJECT = Path(__file__).parent.parent
START_S = 30.0


@dataclasses.dataclass(frozen=True)
class WebProcess:
    """A running web process and where it listens."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self, grace_s: float = 20.0) -> int:
        """Ask it to end; its exit code."""
        return end(self.process, grace_s=grace_s, first=signal.SIGTERM)


@pytest.fixture
def start_web(child_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., WebProcess]]:
    """`start_web(**variables)`: a web process on the test's database and Valkey, with these variables changed."""
    with contextlib.ExitStack() as stack:

        def start(**variables: str) -> WebProcess:
            web = _start({**child_env, **variables}, tmp_path / f"web-{time.monotonic_ns()}.log")
            stack.callback(web.stop)
            return web

        yield start


def _start(env: Mapping[str, str], log: Path) -> WebProcess:
    port = free_port()
    argv = [sys.executable, "-m", "uvicorn", "rateguard.asgi:application", "--port", str(port), "--log-level", "warning"]
    with log.open("wb") as output:
        process = launch(argv, output=output, env=env, cwd=PROJECT)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return WebProcess(process, port, log)
        time.sleep(0.05)  # nothing tells when a port opens
    end(process, grace_s=0)
    raise AssertionError(f"the web process did not start:\n{last_lines(log, 30)}")


# ---- callers


@contextlib.contextmanager
def session(web: WebProcess, secret: str) -> Iterator[http.client.HTTPConnection]:
    """A connection to a web process; every request on it carries this key."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=60)) as connection:
        connection.authorization = f"Bearer {secret}"  # type: ignore[attr-defined]
        yield connection


def call(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Ask and hear the answer: its status and what its JSON says."""
    send(connection, method, path, body, **headers)
    return answer(connection)


def send(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str) -> None:
    """Ask, and hear the answer later."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(
        method,
        path,
        body,
        {"Authorization": connection.authorization, "Content-Type": "application/json", **named},  # type: ignore[attr-defined]
    )


def answer(connection: http.client.HTTPConnection) -> tuple[int, Any]:
    """The answer to what was asked."""
    response = connection.getresponse()
    return response.status, orjson.loads(response.read())
