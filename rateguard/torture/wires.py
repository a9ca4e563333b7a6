"""The campaign's end of the process in the middle: opens wires, and has them cut in the middle of a commit."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rateguard.engine.errors import RateguardError

DATABASE, GATE = "postgres", "valkey"
MARKS: Mapping[str, tuple[str, ...]] = {
    DATABASE: ("COMMIT", 'INSERT INTO "rateguard_jobs_job"', "update rateguard_jobs_attempt", "update rateguard_jobs_job"),
    GATE: ("FCALL",),
}
"""By server, what a chunk holds that must not get lost: a transaction's end, a submission, the claim, the settle; a call of the gate."""


class WiresBroke(RateguardError):
    """The process in the middle is gone, and with it every connection."""

    code = "wires_broke"


class Wires:
    """The process, started here; it ends with this one. A wire is named `<process>/<server>`."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._lock = threading.Lock()
        self._log = log.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rateguard.torture.proxy"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=dict(environment),
            start_new_session=True,  # no Ctrl-C reaches it: it ends last
        )

    def open(self, process: str, server: str, port: int) -> int:
        """A wire from this process to that server; returns the port at which the process finds it."""
        opened: int = self._order(do="open", wire=f"{process}/{server}", to=port)
        return opened

    def arm(self, process: str, server: str, whens: tuple[str, ...]) -> None:
        """Cut this process's connection at its next commits, one for each of `whens`: `before` or `after` the server has it."""
        self._order(do="arm", wire=f"{process}/{server}", marks=MARKS[server], whens=whens)

    def disarm(self, process: str, server: str) -> list[str]:
        """Cut no more; returns what was cut since `arm`."""
        cut: list[str] = self._order(do="disarm", wire=f"{process}/{server}")
        return cut

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                pipe.close()

    def _order(self, **order: Any) -> Any:
        asked, answered = self._process.stdin, self._process.stdout
        with self._lock:
            try:
                if asked is None or answered is None:
                    raise WiresBroke("the process in the middle has no pipes")
                asked.write(json.dumps(order) + "\n")
                asked.flush()
                return json.loads(answered.readline())
            except (OSError, ValueError) as error:
                raise WiresBroke(f"the process in the middle did not obey {order['do']}: {error}") from error
