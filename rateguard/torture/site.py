"""Where a campaign runs: a temporary folder, the servers, the simulated provider, and two web processes and two workers behind wires."""

from __future__ import annotations

import contextlib
import secrets
import sys
import typing
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.fernet import Fernet

from rateguard.embedded import children
from rateguard.embedded.process import free_port
from rateguard.embedded.surroundings import surroundings
from rateguard.engine.providers.sim.process import start_simprovider
from rateguard.torture.processes import Process
from rateguard.torture.record import Record
from rateguard.torture.servers import Postgres, Valkey
from rateguard.torture.wires import DATABASE, GATE, Wires

if typing.TYPE_CHECKING:
    from rateguard.torture.work.world import World

WEBS = ("web-1", "web-2")
WORKERS = ("worker-1", "worker-2")
PROCESSES = (*WEBS, *WORKERS)
HOST = "host"
"""A process of the traffic's own, which submits by `.delay()`: it has wires, but is never struck itself."""
SERVERS = ("valkey", "postgres")
GRACE_S = 30.0


class Site:
    """The servers and processes of one campaign. The provider is its witness: it is never struck.

    span_s: how long faults are injected. extra: variables that every process gets. broken: the name of a fault in our own code
    that the processes run with, or "". world: the rows of the work, once they are made.
    """

    world: World

    def __init__(self, folder: Path, record: Record, *, span_s: float, broken: str = "") -> None:
        self.folder = folder
        self.span_s = span_s
        self.broken = broken
        self.extra: dict[str, str] = {}
        self.logs = folder / "logs"
        self.logs.mkdir()
        self._record = record
        self._secrets = {"SECRET_KEY": secrets.token_urlsafe(48), "RATEGUARD_ENCRYPTION_KEYS": Fernet.generate_key().decode()}
        self._stack = contextlib.ExitStack()
        self.provider_key = "sk-sim-" + secrets.token_urlsafe(16)
        self.provider_log = folder / "provider.jsonl"
        self.processes: dict[str, Process] = {}
        self.clocks: dict[str, Mapping[str, str]] = {}
        self._wired: dict[str, dict[str, str]] = {}
        self._ports = {name: free_port() for name in WEBS}

    # ---- the servers

    def start_servers(self) -> None:
        """PostgreSQL, Valkey, the provider, and the process in the middle. Raises ServerStartError, ConfigurationError."""
        self.postgres = Postgres()
        self._stack.callback(self.postgres.stop)
        self.valkey = Valkey(self.folder)
        self._stack.callback(self.valkey.kill)
        self.valkey.start()
        self.provider = start_simprovider(log=self.provider_log)
        self._stack.callback(self.provider.stop)
        self.wires = Wires(surroundings({}), self.logs / "wires.log")
        self._stack.callback(self.wires.close)
        for name in (*PROCESSES, HOST):
            self._wired[name] = {
                "DATABASE_URL": self.postgres.url.replace(f":{self.postgres.port}/", f":{self._wire(name, DATABASE)}/"),
                "REDIS_URL": f"redis://127.0.0.1:{self._wire(name, GATE)}/0",
            }

    def _wire(self, process: str, server: str) -> int:
        return self.wires.open(process, server, self.postgres.port if server == DATABASE else self.valkey.port)

    @property
    def direct_database_url(self) -> str:
        """PostgreSQL, past the wires: for who sets up and who checks."""
        return self.postgres.url

    @property
    def direct_valkey_url(self) -> str:
        """Valkey, past the wires."""
        return self.valkey.url

    @property
    def environment(self) -> dict[str, str]:
        """What the campaign's own process finds, and nothing else of the caller's shell."""
        return surroundings(
            {
                **self._secrets,
                "DJANGO_SETTINGS_MODULE": "rateguard.settings",
                "RATEGUARD_ENV": "development",
                "RATEGUARD_STATE_DIR": str(self.folder),
                "DATABASE_URL": self.direct_database_url,
                "REDIS_URL": self.direct_valkey_url,
                **self.extra,
            }
        )

    def environment_of(self, process: str) -> dict[str, str]:
        """What a process finds at its next start: the servers over its own wires, and its clock where that is wrong."""
        return {**self.environment, **self._wired[process], **self.clocks.get(process, {})}

    # ---- the processes

    @property
    def base_urls(self) -> list[str]:
        """Both web processes, without a path."""
        return [f"http://{children.LOCALHOST}:{port}" for port in self._ports.values()]

    def start_processes(self) -> None:
        """Two web processes, two workers, all at once, until they take work. Raises ChildFailedError."""
        for name in PROCESSES:
            argv = children.web(self._ports[name]).argv if name in WEBS else children.worker(GRACE_S).argv
            self.processes[name] = Process(
                name, self._command(list(argv)), self._asked(name), self.logs, self._readiness(name), self._record
            )
            self._stack.callback(self.processes[name].stop)
        for process in self.processes.values():
            process.start()
        for process in self.processes.values():
            process.wait_ready()

    def _asked(self, name: str) -> Callable[[], Mapping[str, str]]:
        return lambda: self.environment_of(name)

    def _readiness(self, name: str) -> Callable[[Path], bool]:
        if name in WEBS:
            return lambda _: children.answers(f"http://{children.LOCALHOST}:{self._ports[name]}/healthz")
        return lambda log: "ready." in log.read_text(errors="replace")

    def _command(self, argv: list[str]) -> list[str]:
        """`python -m MODULE …`, or the same with a fault of our own in it."""
        if not self.broken:
            return argv
        return [sys.executable, "-m", "rateguard.torture.broken", self.broken, *argv[2:]]

    def close(self) -> None:
        """End everything, at once."""
        for process in self.processes.values():
            process.forbid_restart()
        self._stack.close()
