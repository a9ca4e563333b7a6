"""Where a proof runs: a temporary folder, a database, a Valkey, the simulated provider, and what every process of it sees."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography.fernet import Fernet

from rateguard.embedded.postgres import PostgresServer, start_postgres
from rateguard.embedded.surroundings import surroundings
from rateguard.embedded.valkey import start_valkey
from rateguard.engine.providers.sim.process import start_simprovider

PROVIDER_KEY = "sk-sim-proof"


class Site:
    """The servers of one proof. The provider is its witness: it is never stopped while the proof runs."""

    def __init__(self, folder: Path, *, is_postgres: bool) -> None:
        self.folder = folder
        self.provider = start_simprovider(keys=[PROVIDER_KEY], latency={"base_ms": 300, "jitter": 0.5})
        self.postgres: PostgresServer | None = start_postgres(fsync=True) if is_postgres else None
        self.valkey = start_valkey(folder / "valkey")
        self._secrets = {"SECRET_KEY": secrets.token_urlsafe(48), "RATEGUARD_ENCRYPTION_KEYS": Fernet.generate_key().decode()}

    @property
    def environment(self) -> dict[str, str]:
        """What a process sees, and nothing else: no variable of the caller's shell may point it at a real server."""
        place = {"DATABASE_URL": self.postgres.url} if self.postgres else {}
        return surroundings(
            {
                **self._secrets,
                **place,
                "DJANGO_SETTINGS_MODULE": "rateguard.settings",
                "RATEGUARD_ENV": "development",
                "RATEGUARD_STATE_DIR": str(self.folder),
                "REDIS_URL": self.valkey.url,
            }
        )

    def cut_power(self) -> None:
        """Kill Valkey and the database's server, where it has one; SQLite is a file."""
        self.valkey.kill()
        if self.postgres is not None:
            self.postgres.kill()

    def start_again(self, *, keeps_file: bool) -> None:
        """Start what `cut_power` killed, on the same ports; Valkey with its data or, without them, empty."""
        if self.postgres is not None:
            self.postgres = self.postgres.start_again()
        if not keeps_file:
            shutil.rmtree(self.folder / "valkey")
        self.valkey = start_valkey(self.folder / "valkey", self.valkey.port)

    def close(self) -> None:
        """End all of them and remove what they kept."""
        self.valkey.kill()
        if self.postgres is not None:
            self.postgres.stop()
        self.provider.stop()


@contextlib.contextmanager
def standing(*, is_postgres: bool) -> Iterator[Site]:
    """A site in a temporary folder, with Django set up on its migrated database: this process may use models from now on.

    Settings are read once a process, so a process can stand on one site only.
    """
    with tempfile.TemporaryDirectory(prefix="rateguard-proof-", ignore_cleanup_errors=True) as folder:
        site = Site(Path(folder), is_postgres=is_postgres)
        try:
            _set_up_django(site)
            yield site
        finally:
            close_connections()
            site.close()


def _set_up_django(site: Site) -> None:
    environment = site.environment
    os.environ.clear()
    os.environ.update(environment)
    import django  # noqa: PLC0415 - it reads its settings from the environment made just now

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415

    call_command("migrate", verbosity=0)


def close_connections() -> None:
    """All of this process's connections to the database; the next query opens a new one."""
    from django.db import connections  # noqa: PLC0415 - Django is ready by now

    for connection in connections.all():
        connection.close()
        close_pool = getattr(connection, "close_pool", None)
        if close_pool is not None:
            close_pool()
