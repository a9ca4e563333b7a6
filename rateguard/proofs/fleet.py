"""The workers of a proof: Celery workers as an operator starts them, killed and started again by number."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rateguard.embedded import process
from rateguard.embedded.surroundings import PROJECT
from rateguard.engine.errors import RateguardError
from rateguard.proofs.site import Site

PROCESSES = 4
READY_S = 90.0
OFF_CLOCK = Path(__file__).with_name("off_clock")
"""A folder that, first on PYTHONPATH, moves a process's clock: see its sitecustomize.py."""
AHEAD_VARIABLE = "PROOF_CLOCK_AHEAD_S"


class ProofFailed(RateguardError):
    """A proof cannot go on; the message says why."""

    code = "proof_failed"


def wait_for(what: str, condition: Callable[[], bool], within_s: float, poll_s: float = 0.05) -> None:
    """Until the condition is true. Raises ProofFailed, which names it."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise ProofFailed(f"{what}: not within {within_s:g} s")
        time.sleep(poll_s)


@dataclasses.dataclass(slots=True)
class Worker:
    """One life of a worker."""

    running: subprocess.Popen[bytes]
    log: Path

    @property
    def is_ready(self) -> bool:
        """Whether it takes work. Raises ProofFailed where it has ended instead."""
        if self.running.poll() is not None:
            raise ProofFailed(f"a worker ended before it was ready: {process.last_lines(self.log)}")
        return "ready." in self.log.read_text(errors="replace")


class Fleet:
    """Four workers."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._workers: dict[int, Worker] = {}
        self._lives = 0

    def start(self, number: int, *, clock_ahead_s: int = 0) -> None:
        """Start one worker, ready or not; its clock may be wrong."""
        environment = self._site.environment
        if clock_ahead_s:
            environment |= {AHEAD_VARIABLE: str(clock_ahead_s), "PYTHONPATH": f"{OFF_CLOCK}:{PROJECT}"}
        self._lives += 1
        log = self._site.folder / f"worker-{self._lives}.log"
        argv = [sys.executable, "-m", "celery", "-A", "rateguard", "worker", "--without-gossip", "--without-mingle", "-l", "INFO"]
        with log.open("wb") as output:
            running = process.launch(argv, output=output, env=environment, cwd=self._site.folder)
        self._workers[number] = Worker(running, log)

    def start_all(self, *, clock_ahead_s: int = 0) -> None:
        """All of them, until they are ready; the last one's clock may be wrong."""
        for number in range(PROCESSES):
            self.start(number, clock_ahead_s=clock_ahead_s if number == PROCESSES - 1 else 0)
        self.wait_ready()

    def wait_ready(self) -> None:
        """Until all take work."""
        wait_for("the workers are ready", lambda: all(worker.is_ready for worker in self._workers.values()), READY_S)

    def kill(self, number: int) -> None:
        """As a crash would."""
        process.kill(self._workers[number].running)

    def kill_all(self) -> None:
        """All at once."""
        for worker in self._workers.values():
            process.kill_group(worker.running.pid)
        for number in self._workers:
            self.kill(number)

    def tell_last_lines(self) -> None:
        """What the workers said last, for whoever asks why a proof could not go on."""
        for number, worker in self._workers.items():
            print(f"-- worker {number}:\n{process.last_lines(worker.log)}", file=sys.stderr)

    def log_of(self, number: int) -> str:
        """What the worker of that number has written in its present life."""
        return self._workers[number].log.read_text(errors="replace")


@contextmanager
def fleet_of(site: Site, *, clock_ahead_s: int = 0) -> Iterator[Fleet]:
    """Four ready workers, gone at the end."""
    fleet = Fleet(site)
    try:
        fleet.start_all(clock_ahead_s=clock_ahead_s)
        yield fleet
    except ProofFailed:
        fleet.tell_last_lines()
        raise
    finally:
        fleet.kill_all()
