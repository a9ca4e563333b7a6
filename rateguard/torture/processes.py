"""The processes of a campaign: each with its log, its lives, and a small supervisor that starts it again 1 s after its death."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rateguard.embedded import process
from rateguard.embedded.errors import ChildFailedError
from rateguard.torture.record import Life, Record

RESTART_S = 1.0
"""As RestartSec of deploy's units."""
READY_S = 90.0
MOST_DEATHS = 4
"""Who waits for a process gives it up after so many."""
_POLL_S = 0.05

IsReady = Callable[[Path], bool]
"""Whether a process takes work, by the log of its present life."""


class Process:
    """One process through all its lives. environment: asked anew at each start, so that a life may have a clock of its own."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        environment: Callable[[], Mapping[str, str]],
        folder: Path,
        is_ready: IsReady,
        record: Record,
    ) -> None:
        self.name = name
        self._argv = list(argv)
        self._environment = environment
        self._folder = folder
        self._is_ready = is_ready
        self._record = record
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._life: Life | None = None
        self._lives = 0
        self._ready_life = 0
        self._killed_life = 0
        self._thread = threading.Thread(target=self._supervise, name=f"supervise-{name}", daemon=True)

    @property
    def log(self) -> Path:
        """What the present life says, or the last one said."""
        return self._log_of(self._lives)

    def _log_of(self, life: int) -> Path:
        return self._folder / f"{self.name}.{life}.log"

    @property
    def pid(self) -> int | None:
        """None while it is down."""
        running = self._running
        return running.pid if running is not None and running.returncode is None else None

    def start(self) -> None:
        """Begin; readiness is waited for apart, so that all start at once."""
        self._launch()
        self._thread.start()

    def is_ready(self) -> bool:
        """Whether its present life takes work; once it has said so it is believed, until it is killed."""
        if self.pid is None or self._killed_life == self._lives:
            return False
        if self._ready_life != self._lives and self._is_ready(self.log):
            self._ready_life = self._lives
        return self._ready_life == self._lives

    def wait_ready(self, within_s: float = READY_S) -> None:
        """Until it takes work. Raises ChildFailedError with its last words, at once where it dies again and again."""
        deadline, most_lives = time.monotonic() + within_s, self._lives + MOST_DEATHS
        while not self.is_ready():
            if time.monotonic() > deadline or self._lives > most_lives:
                said = process.last_lines(self._log_of(self._lives - 1 if self._lives > most_lives else self._lives))
                raise ChildFailedError(f"{self.name} was not ready within {within_s:g} s:\n{said}")
            if self._ending.wait(_POLL_S):
                return

    def kill(self) -> None:
        """As `kill -9` would, to it and all that it started; the supervisor starts it again."""
        if (pid := self.pid) is not None:
            self._killed_life = self._lives
            process.kill_group(pid)

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP or SIGCONT, to it and all that it started."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)

    def forbid_restart(self) -> None:
        """It is not started again from now on."""
        self._ending.set()

    def stop(self) -> None:
        """End it for good, at once."""
        self._ending.set()
        with self._lock:
            running = self._running
        if running is not None:
            process.kill(running)
        if self._thread.ident is not None:
            self._thread.join()

    def _launch(self) -> None:
        with self._lock:
            if self._ending.is_set():
                return
            self._lives += 1
            with self.log.open("wb") as output:
                self._running = process.launch(self._argv, output=output, env=self._environment(), cwd=self._folder)
            self._life = Life(self.name, self._running.pid, time.monotonic())
        self._record.lives.append(self._life)

    def _supervise(self) -> None:
        while self._running is not None and self._life is not None:
            self._running.wait()
            self._life.ended_at = time.monotonic()
            code = process.kill(self._running)  # what it had started goes with it
            if self._ending.is_set():
                return
            self._record.notes.append(f"{self._record.since(self._life.ended_at)} {self.name} ended: {process.exit_reason(code)}")
            if self._ending.wait(RESTART_S):
                return
            self._launch()
