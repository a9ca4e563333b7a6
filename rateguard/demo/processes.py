"""The demo's processes: what each is started with, and when it is ready. All listen on 127.0.0.1 and live in one temporary folder."""

from __future__ import annotations

import dataclasses
import os
import secrets
import sys
import urllib.error
import urllib.request
from pathlib import Path

from cryptography.fernet import Fernet

from rateguard.embedded.process import free_port
from rateguard.embedded.supervisor import Child
from rateguard.embedded.valkey import is_answering, valkey_argv
from rateguard.engine.providers.sim.control import SimControl
from rateguard.engine.providers.sim.server import CONTROL_TOKEN_VARIABLE

PROJECT = Path(__file__).resolve().parents[2]
LOCALHOST = "127.0.0.1"
WORKER, WEB, PROVIDER, VALKEY = "worker", "web", "provider", "valkey"

_KEPT = {"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "TERM", "COLORTERM", "NO_COLOR", "COLUMNS", "LINES", "LANG"}


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a run lives: its folder, its ports, its secrets."""

    folder: Path
    valkey_port: int
    provider_port: int
    web_port: int
    secret_key: str = dataclasses.field(repr=False)
    encryption_key: str = dataclasses.field(repr=False)
    provider_key: str = dataclasses.field(repr=False)
    control_token: str = dataclasses.field(repr=False)

    @property
    def provider_url(self) -> str:
        """The simulated provider, without a path."""
        return f"http://{LOCALHOST}:{self.provider_port}"

    @property
    def web_url(self) -> str:
        """The web process, without a path."""
        return f"http://{LOCALHOST}:{self.web_port}"

    @property
    def logs(self) -> Path:
        """The folder of the children's logs."""
        return self.folder / "logs"

    def control(self) -> SimControl:
        """A client of the provider's control endpoints."""
        return SimControl(self.provider_url, self.control_token)


def make_place(folder: Path) -> Place:
    """A new place in an empty folder: free ports, random secrets."""
    return Place(
        folder=folder,
        valkey_port=free_port(),
        provider_port=free_port(),
        web_port=free_port(),
        secret_key=secrets.token_urlsafe(48),
        encryption_key=Fernet.generate_key().decode(),
        provider_key="sk-sim-" + secrets.token_urlsafe(24),
        control_token=secrets.token_urlsafe(24),
    )


def environment(place: Place) -> dict[str, str]:
    """What every process of the run sees, and nothing else: no variable of the caller's shell may point it at a real server."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("LC_")}
    return {
        **kept,
        "PYTHONPATH": str(PROJECT),
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "rateguard.demo.settings",
        "RATEGUARD_ENV": "development",
        "RATEGUARD_STATE_DIR": str(place.folder),
        "RATEGUARD_ENCRYPTION_KEYS": place.encryption_key,
        "SECRET_KEY": place.secret_key,
        "REDIS_URL": f"redis://{LOCALHOST}:{place.valkey_port}/0",
    }


def valkey(place: Place) -> Child:
    """Redis's part, with an append-only file: after a kill the same data come back."""
    state = place.folder / "valkey"
    state.mkdir(exist_ok=True)
    return Child(name=VALKEY, argv=valkey_argv(state, place.valkey_port), ready=lambda: is_answering(place.valkey_port))


def provider(place: Place) -> Child:
    """The simulated provider. It stays down when it dies: its bill, the witness of the run, would be gone."""
    return Child(
        name=PROVIDER,
        argv=[sys.executable, "-m", "rateguard.engine.providers.sim", "--port", str(place.provider_port)],
        env={CONTROL_TOKEN_VARIABLE: place.control_token},
        ready=lambda: _answers(f"{place.provider_url}/v1/models"),
        restart=False,
        grace_s=3,
    )


def web(place: Place) -> Child:
    """The web process."""
    listening = ["--host", LOCALHOST, "--port", str(place.web_port), "--loop", "uvloop", "--http", "httptools"]
    return Child(
        name=WEB,
        argv=[sys.executable, "-m", "uvicorn", "rateguard.asgi:application", *listening, "--log-level", "warning", "--no-access-log"],
        ready=lambda: _answers(f"{place.web_url}/api/v1"),
        grace_s=6,
    )


def worker(_: Place) -> Child:
    """A Celery worker with our pool, all lanes."""
    return Child(
        name=WORKER,
        argv=[sys.executable, "-m", "celery", "-A", "rateguard", "worker", "--without-mingle", "--without-gossip", "--loglevel", "info"],
        grace_s=6,
    )


def _answers(url: str) -> bool:
    """Whether a server answers at all, with whatever status."""
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own process
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False
