"""Starts the simulated provider as a process of its own that never outlives its starter."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.sim.control import SimControl
from rateguard.engine.providers.sim.server import CONTROL_TOKEN_VARIABLE

_STOP_WITHIN_S = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class SimHandle:
    """A running simulated provider. `url` has no path; what callers use as base URL is `base_url`. `log`: its log on disk, if any."""

    url: str
    control_token: str = dataclasses.field(repr=False)
    process: subprocess.Popen[bytes] = dataclasses.field(repr=False)
    log: Path | None = None

    @property
    def base_url(self) -> str:
        """The base URL for clients of OpenAI's dialect."""
        return f"{self.url}/v1"

    @property
    def control(self) -> SimControl:
        """A client of its control endpoints."""
        return SimControl(self.url, self.control_token)

    def stop(self) -> None:
        """End the process and wait for it; stopping twice is harmless."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


def start_simprovider(port: int = 0, *, log: Path | None = None, **configuration: Any) -> SimHandle:
    """Start it, wait until it listens, configure it (as SimControl.configure). It stops when this process ends, however it ends.

    log: a file that gets each arrival and each line of the bill before the answer leaves (see `log_file`).
    Raises ConfigurationError where it did not start; its own words are then on stderr.
    """
    token = secrets.token_urlsafe(24)
    lasting = [] if log is None else ["--log", str(log)]
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "rateguard.engine.providers.sim", "--port", str(port), "--stop-with-stdin", *lasting],
        env={**os.environ, CONTROL_TOKEN_VARIABLE: token, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    line = process.stdout.readline() if process.stdout else b""
    if not line:
        raise ConfigurationError(f"the simulated provider ended with status {process.wait()} before it listened")
    handle = SimHandle(json.loads(line)["url"], token, process, log)
    if configuration:
        handle.control.configure(**configuration)
    return handle
