"""Runs the simulated provider on uvicorn until SIGTERM, SIGINT, or the end of its parent."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rateguard.engine.encodings import O200K, get_encoding
from rateguard.engine.providers.sim.app import SimApp
from rateguard.engine.providers.sim.config import SimConfig
from rateguard.engine.providers.sim.log_file import LogFile
from rateguard.engine.providers.sim.state import SimState
from rateguard.engine.providers.sim.wire import ARRIVED_MS, TRANSPORT, now_ms

CONTROL_TOKEN_VARIABLE = "RATEGUARD_SIM_CONTROL_TOKEN"  # noqa: S105 - the name of a variable
KEEPALIVE_S = 10
BACKLOG = 4_096


class _Protocol(HttpToolsProtocol):
    """Hands the connection to the application, which must be able to reset it, and the moment at which a request was here whole."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"][TRANSPORT] = self.transport

    def on_message_complete(self) -> None:
        self.scope["state"][ARRIVED_MS] = now_ms()
        super().on_message_complete()


class _Server(uvicorn.Server):
    """Tells on stdout, in one line of JSON, that it listens, and where."""

    def __init__(self, config: uvicorn.Config, ready: Mapping[str, Any]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(json.dumps(self._ready) + "\n")
        sys.stdout.flush()


def serve(
    host: str = "127.0.0.1", port: int = 0, *, config: SimConfig | None = None, stop_with_stdin: bool = False, log: Path | None = None
) -> None:
    """Serve until stopped. Port 0 takes a free one; the first line on stdout is a JSON object: url, port, pid.

    The control token comes from RATEGUARD_SIM_CONTROL_TOKEN; where that is not set one is made and told as `control_token`.
    With `stop_with_stdin` the end of stdin, which comes when the parent dies, stops it. With `log` each arrival and each line of the bill
    is in that file before the answer leaves.
    """
    token = os.environ.get(CONTROL_TOKEN_VARIABLE, "")
    made_token = "" if token else secrets.token_urlsafe(24)
    listener = socket.create_server((host, port), backlog=BACKLOG)
    ready: dict[str, Any] = {"url": f"http://{host}:{listener.getsockname()[1]}", "port": listener.getsockname()[1], "pid": os.getpid()}
    if made_token:
        ready["control_token"] = made_token
    _raise_file_limit()
    get_encoding(O200K)  # now, not in the first request
    server = _Server(_uvicorn_config(SimApp(SimState(config, None if log is None else LogFile(log)), token or made_token)), ready)
    if stop_with_stdin:
        threading.Thread(target=_stop_at_end_of_stdin, daemon=True, name="parent-watch").start()
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def _uvicorn_config(app: SimApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        loop="uvloop",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEPALIVE_S,
        timeout_graceful_shutdown=1,
    )


def _raise_file_limit() -> None:
    """Thousands of calls may be open at once, each with its socket."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _stop_at_end_of_stdin() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    signal.raise_signal(signal.SIGTERM)
