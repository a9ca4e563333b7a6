"""The two servers of a campaign, each on one port for all its lives: Valkey with its file, PostgreSQL with fsync."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rateguard.embedded import process
from rateguard.embedded.errors import ServerStartError
from rateguard.embedded.postgres import PostgresServer, start_postgres
from rateguard.embedded.valkey import is_answering, valkey_argv

ANSWERS_S = 30.0
_POLL_S = 0.02
_ASK_S = 2
_DEAF_TO_FULL_DISK = 'trap "" XFSZ; exec "$@"'
"""A write beyond the limit of a file's size is then an error, as on a full disk, and no signal that ends the server."""
_THAW_AT_END = 'read -r _; kill -CONT "$@" 2>/dev/null'
_FILE_LIMIT = "RLIMIT_FSIZE"


class Valkey:
    """Append-only file, synced each second: what operators are told to run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "valkey"
        self._log = folder / "logs" / "valkey.log"
        self.port = process.free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._running: subprocess.Popen[bytes] | None = None

    def start(self, *, keeps_file: bool = True) -> None:
        """Start it, with what its file holds or empty, and wait until it answers. Raises ServerStartError."""
        if not keeps_file:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(exist_ok=True)
        argv = ["/bin/sh", "-c", _DEAF_TO_FULL_DISK, "sh", *valkey_argv(self._folder, self.port)]
        with self._log.open("ab") as output:
            self._running = process.launch(argv, output=output)
        self.wait_answers()

    def wait_answers(self) -> None:
        """Until it answers, its data loaded. Raises ServerStartError."""
        deadline = time.monotonic() + ANSWERS_S
        while not is_answering(self.port):
            if time.monotonic() > deadline:
                raise ServerStartError(f"Valkey does not answer: {process.last_lines(self._log)}")
            time.sleep(_POLL_S)

    def kill(self) -> None:
        """As a power cut would: up to a second of writes may be missing afterwards."""
        if self._running is not None:
            process.kill(self._running)

    def freeze(self) -> None:
        """Stop answering without closing a connection."""
        if self._running is not None:
            self._running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        if self._running is not None:
            self._running.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """A client for what is done to the server, not with it."""
        return redis.Redis(port=self.port, socket_timeout=_ASK_S, retry=Retry(NoBackoff(), retries=0))

    def fill_disk(self) -> bool:
        """From now on its file cannot grow. False where the machine cannot limit a running process (it is no Linux)."""
        if self._running is None or not hasattr(resource, "prlimit"):
            return False
        sizes = [file.stat().st_size for file in self._folder.rglob("*.incr.aof")]
        self._limit_files(max(sizes, default=0) + 1)
        return True

    def empty_disk(self) -> None:
        """Its file may grow again; the server tries each second by itself."""
        self._limit_files(resource.RLIM_INFINITY)

    def _limit_files(self, size: int) -> None:
        if self._running is not None and hasattr(resource, "prlimit"):
            _, most = resource.prlimit(self._running.pid, getattr(resource, _FILE_LIMIT))
            resource.prlimit(self._running.pid, getattr(resource, _FILE_LIMIT), (size, most))


class Postgres:
    """PostgreSQL, embedded; fsync is on."""

    def __init__(self) -> None:
        # else a recovery syncs its files one by one, which takes a slow disk ten seconds
        settings = {"recovery_init_sync_method": "syncfs"} if sys.platform == "linux" else {}
        self._server: PostgresServer = start_postgres(fsync=True, settings=settings)
        self._thawer: subprocess.Popen[bytes] | None = None
        self.port = self._server.port
        self.url = self._server.url

    @property
    def log(self) -> Path:
        """The server's own log."""
        return self._server.log

    def kill(self) -> None:
        """As a power cut would."""
        self._server.kill()

    def start_again(self) -> None:
        """After `kill`: on the same data and port, until it answers. Raises ServerStartError."""
        self._server = self._server.start_again()
        self.wait_answers()

    def wait_answers(self) -> None:
        """Until it answers a question. Raises ServerStartError."""
        deadline = time.monotonic() + ANSWERS_S
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=_ASK_S).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise ServerStartError(f"PostgreSQL does not answer: {error}") from error
                time.sleep(_POLL_S)
            else:
                return

    def freeze(self) -> None:
        """Stop answering: the head and all that serve connections, each of which leads a group of its own.

        A helper lets them go on if this process dies first: what is frozen cannot notice a death.
        """
        os.kill(self._server.pid, signal.SIGSTOP)  # first: it starts no more
        pids = [self._server.pid, *_children_of(self._server.pid)]
        self._thawer = subprocess.Popen(
            ["/bin/sh", "-c", _THAW_AT_END, "sh", *map(str, pids)], stdin=subprocess.PIPE, start_new_session=True
        )
        for pid in pids[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        if self._thawer is not None and self._thawer.stdin is not None:
            self._thawer.stdin.close()
            self._thawer.wait()
            self._thawer = None

    def stop(self) -> None:
        """End it and remove its data."""
        self.thaw()
        self._server.stop()


def _children_of(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout  # noqa: S607 - the machine's own
    rows = (line.split() for line in listed.splitlines())
    return [int(row[0]) for row in rows if int(row[1]) == pid]
