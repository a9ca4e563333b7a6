"""A PostgreSQL with the roles of deploy/roles.sql, which let nobody in without a password: `from tests.rolesql import Database`."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import psycopg

from rateguard.embedded.postgres import PostgresServer, programs_folder, start_postgres

PROJECT = Path(__file__).parent.parent
ROLES = ("migrate", "web", "worker")


@dataclasses.dataclass(frozen=True)
class Database:
    """The server, and the folder of the secrets that its roles were made with."""

    server: PostgresServer
    secrets: Path

    @classmethod
    def started(cls, folder: Path, valkey: str = "valkey:6379") -> Database:
        """A server with an empty database `rateguard` and the three roles. valkey: where the secrets say that the gate's server is."""
        secrets = folder / "secrets"
        subprocess.run([PROJECT / "deploy" / "make-secrets", secrets, valkey], check=True, stdout=subprocess.DEVNULL)
        made = cls(start_postgres(), secrets)
        made.server.create_database("rateguard")
        made.make_roles()
        with psycopg.connect(made.server.url, autocommit=True) as connection:
            (rules,) = connection.execute("SHOW hba_file").fetchone()  # the roles come in by password alone
            Path(rules).write_text(_rules())
            connection.execute("SELECT pg_reload_conf()")
        return made

    def make_roles(self) -> str:
        """Run deploy/roles.sql; what psql said. Raises CalledProcessError."""
        command = [programs_folder() / "psql", "--quiet", "--no-psqlrc", "--dbname", self.address("postgres", "")]
        arguments = ["--set", f"secrets={self.secrets}", "--file", PROJECT / "deploy" / "roles.sql"]
        done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    def address(self, user: str, password: str) -> str:
        """The URL by which a user comes in."""
        return f"postgres://{user}:{password}@127.0.0.1:{self.server.port}/rateguard"

    def password_of(self, role: str) -> str:
        """The password of `migrate`, `web` or `worker`."""
        return (self.secrets / f"database_{role}_password").read_text().strip()

    def connect(self, role: str) -> psycopg.Connection:
        """A connection as one of the three."""
        return psycopg.connect(self.address(f"rateguard_{role}", self.password_of(role)), autocommit=True)

    def migrate(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """`manage.py migrate` as the role that owns the tables."""
        given = {"DATABASE_URL": self.address("rateguard_migrate", self.password_of("migrate")), "PYTHONPATH": str(PROJECT)}
        roles = {"DATABASE_WEB_ROLE": "rateguard_web", "DATABASE_WORKER_ROLE": "rateguard_worker"}
        return subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=PROJECT,
            env={**os.environ, **given, **roles, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def _rules() -> str:
    named = ",".join(f"rateguard_{role}" for role in ROLES)
    return f"host all {named} 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n"
