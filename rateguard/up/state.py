"""What lasts between two starts: the folder, its lock, secrets and ports that are made once. Nothing in it is for anybody else to read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from rateguard.embedded.process import free_port
from rateguard.engine.errors import RateguardError

PATIENCE_S = 2.0
"""How long the processes of an `up` that was killed may need to go."""


class CannotStart(RateguardError):
    """`up` cannot start; the message says why and what to do."""

    code = "cannot_start"


class State:
    """One folder of state; made where it is absent, and closed to others either way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            if not (folder / ".gitignore").exists():
                write_whole(folder / ".gitignore", "*\n")
        except OSError as error:
            raise CannotStart(f"{folder} cannot hold the state ({error.strerror}): choose another folder with --state DIR") from None

    @property
    def logs(self) -> Path:
        """The folder of the processes' logs."""
        return self.folder / "logs"

    @property
    def environment_file(self) -> Path:
        """What the processes see, for a shell and for manage.py."""
        return self.folder / "environment"

    def key_file(self, tenant: str) -> Path:
        """Where a tenant's first key lies."""
        return self.folder / ("api-key" if tenant == "default" else f"api-key.{tenant}")

    @contextlib.contextmanager
    def locked(self, url: str) -> Iterator[None]:
        """Hold the folder. The lock goes with this process, however that ends. Raises CannotStart, which says who holds it."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CannotStart(_who_runs(os.pread(descriptor, 4_096, 0), self.folder)) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def secrets(self) -> dict[str, str]:
        """The secrets of this state, made at the first start. Raises CannotStart where they can no longer be read."""
        path = self.folder / "keys.json"
        found = _read(path, "bring it back from a copy: without it what is encrypted in the database cannot be read")
        made = {
            "secret_key": secrets.token_urlsafe(50),
            "encryption_key": Fernet.generate_key().decode(),
            "valkey_password": secrets.token_urlsafe(32),
            "provider_key": "sk-sim-" + secrets.token_urlsafe(24),
            "control_token": secrets.token_urlsafe(24),
        }
        if absent := made.keys() - found.keys():
            found |= {name: made[name] for name in absent}
            write_whole(path, json.dumps(found, indent=2) + "\n")
        return found

    def kept_port(self, name: str) -> int | None:
        """The port that a server had at the last start."""
        return self._ports().get(name)

    def port(self, name: str) -> int:
        """A port of 127.0.0.1 that is kept for one server, as long as nobody else takes it."""
        ports = self._ports()
        if name not in ports or not is_free("127.0.0.1", ports[name], PATIENCE_S):
            ports[name] = free_port()
            write_whole(self.folder / "ports.json", json.dumps(ports) + "\n")
        return ports[name]

    def _ports(self) -> dict[str, int]:
        return _read(self.folder / "ports.json", "delete it: new ports are chosen")


def write_whole(path: Path, text: str) -> None:
    """Write a file that only we may read, all of it or nothing."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor has no path
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def is_free(host: str, port: int, patience_s: float = 0.0) -> bool:
    """Whether a server could listen there now, or at the latest after `patience_s`. Raises CannotStart for an address that is not ours."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except PermissionError:
            raise CannotStart(f"this user may not listen on port {port}: choose one above 1023, such as --port 8000") from None
        except socket.gaierror:
            raise CannotStart(f"{host!r} is no address of this machine: write --host 127.0.0.1, or 0.0.0.0 for all of them") from None
        except OSError as error:
            if "assign" in str(error):
                raise CannotStart(f"{host} is no address of this machine: write --host 127.0.0.1, or 0.0.0.0 for all of them") from None
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        else:
            return True


def _who_runs(text: bytes, folder: Path) -> str:
    try:
        told = json.loads(text)
        return f"an `up` runs in {folder} already: process {told['pid']}, at {told['url']}. End it with Ctrl-C there, or kill {told['pid']}"
    except (ValueError, KeyError, TypeError):
        return f"an `up` runs in {folder} already, or is about to: end it, or choose another folder with --state DIR"


def _read(path: Path, remedy: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise CannotStart(f"{path} cannot be read; {remedy}")
    return found
