"""A small supervisor: starts processes in order, keeps their logs, says why one died, restarts it, and takes all down."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from rateguard.embedded import process
from rateguard.embedded.errors import ChildFailedError

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 10.0
_STEADY_S = 10.0  # a child that lived this long starts again with the first backoff
_POLL_S = 0.05
_LAST_WORDS_S = 2.0  # a daemon that left the group may hold the pipe for ever: nobody waits longer for its words


@dataclass(frozen=True, kw_only=True)
class Child:
    """A process to keep running. `env` adds to our own; `ready` is asked until it says yes; `grace_s` is its time to end after SIGTERM."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    ready: Callable[[], bool] | None = None
    ready_timeout_s: float = 30.0
    grace_s: float = 10.0
    restart: bool = True


@dataclass(frozen=True)
class Death:
    """One end of a child that nobody asked for. `restarts_in_s` is None where it stays down."""

    name: str
    reason: str
    last_lines: str
    restarts_in_s: float | None


class Supervisor:
    """Runs children until `stop`; use it as a context manager, so that nothing outlives an error.

    `on_line(name, line)` gets each line of output and `on_death(death)` each unasked end, both in a thread of that child; they must
    not raise or block. `is_interrupted` ends the wait for a child's readiness early (a Ctrl-C during the start).
    Logs are `<log_dir>/<name>.log`. When this process is killed, the keeper takes the children down (see keeper.py).
    """

    def __init__(
        self,
        log_dir: Path,
        *,
        on_line: Callable[[str, str], None] | None = None,
        on_death: Callable[[Death], None] | None = None,
        is_interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self.log_dir = log_dir
        self.deaths: list[Death] = []
        self._on_line = on_line
        self._on_death = on_death
        self._is_interrupted = is_interrupted
        self._lives: dict[str, _Life] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self, child: Child) -> None:
        """Start the child and wait until it is ready. Raises ChildFailedError if it dies before, or is not ready in time."""
        life = _Life(child, self.log_dir / f"{child.name}.log", self._on_line, self._report)
        self._lives[child.name] = life
        life.begin()
        self._wait_ready(life)

    def pid(self, name: str) -> int | None:
        """The child's process id; None while it is down."""
        return self._lives[name].pid

    def names(self) -> list[str]:
        """The children's names in the order of their start."""
        return list(self._lives)

    def kill(self, name: str) -> None:
        """SIGKILL the child and all it started, as a crash would; it is restarted like after any other death."""
        if (pid := self.pid(name)) is not None:
            process.kill_group(pid)

    def stop(self) -> None:
        """Take all down, the last started first: SIGTERM, its grace, then SIGKILL for it and all that it left. Repeatable."""
        for life in reversed(self._lives.values()):
            life.finish()

    def kill_all(self) -> None:
        """SIGKILL everything now, so that a `stop` under way returns at once. Takes no lock: a signal handler may call it."""
        for life in list(self._lives.values()):
            if (pid := life.pid) is not None:
                process.kill_group(pid)

    def _wait_ready(self, life: "_Life") -> None:
        child, deadline = life.child, time.monotonic() + life.child.ready_timeout_s
        if child.ready is None:
            return
        while life.deaths == 0:
            if child.ready() or self._is_interrupted():
                return
            if time.monotonic() > deadline:
                raise ChildFailedError(f"{child.name} was not ready within {child.ready_timeout_s:g} s:\n{process.last_lines(life.log)}")
            time.sleep(_POLL_S)
        raise ChildFailedError(f"{child.name} ended before it was ready ({life.last_reason}):\n{process.last_lines(life.log)}")

    def _report(self, death: Death) -> None:
        self.deaths.append(death)
        if self._on_death is not None:
            self._on_death(death)


class _Life:
    """One child through all its restarts, in a thread of its own."""

    def __init__(self, child: Child, log: Path, on_line: Callable[[str, str], None] | None, on_death: Callable[[Death], None]) -> None:
        self.child, self.log, self.deaths, self.last_reason = child, log, 0, ""
        self._on_line, self._on_death = on_line, on_death
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=f"supervise-{child.name}", daemon=True)

    @property
    def pid(self) -> int | None:
        running = self._running
        return running.pid if running is not None and running.returncode is None else None

    def begin(self) -> None:
        self._running = self._launch()  # in the caller's thread: a program that is not there is the caller's error
        self._thread.start()

    def finish(self) -> None:
        self._ending.set()
        with self._lock:
            running = self._running
        if running is not None:
            process.end(running, grace_s=self.child.grace_s)
        if self._thread.ident is not None:
            self._thread.join()

    def _launch(self) -> subprocess.Popen[bytes]:
        return process.launch(self.child.argv, output=subprocess.PIPE, env={**os.environ, **self.child.env}, cwd=self.child.cwd)

    def _run(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        while self._running is not None:
            started = time.monotonic()
            code = self._attend(self._running)
            if self._ending.is_set():
                return
            if time.monotonic() - started > _STEADY_S:
                backoff_s = FIRST_BACKOFF_S
            self._tell_death(code, backoff_s if self.child.restart else None)
            if not self.child.restart or self._ending.wait(backoff_s):
                return
            backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)
            self._restart()

    def _restart(self) -> None:
        with self._lock:  # `finish` either sees the new process or has forbidden it
            self._running = None if self._ending.is_set() else self._launch()

    def _attend(self, running: subprocess.Popen[bytes]) -> int:
        pump = threading.Thread(target=self._pump, args=(running.stdout,), name=f"log-{self.child.name}", daemon=True)
        pump.start()
        running.wait()
        code = process.kill(running)  # what it had started goes with it, and with that the last holder of the pipe
        pump.join(_LAST_WORDS_S)
        return code

    def _pump(self, lines: BinaryIO) -> None:
        with self.log.open("ab", buffering=0) as log, lines:
            for line in lines:
                log.write(line)
                if self._on_line is not None:
                    self._on_line(self.child.name, line.decode(errors="replace").rstrip("\n"))

    def _tell_death(self, code: int, restarts_in_s: float | None) -> None:
        self.last_reason = process.exit_reason(code)
        self.deaths += 1
        self._on_death(Death(self.child.name, self.last_reason, process.last_lines(self.log), restarts_in_s))
