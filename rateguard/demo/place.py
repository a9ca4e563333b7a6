"""The demo's place: its folder, its ports, its secrets, and what its processes find in their environment. All listen on 127.0.0.1."""

from __future__ import annotations

import dataclasses
import secrets
from pathlib import Path

from cryptography.fernet import Fernet

from rateguard.embedded.children import LOCALHOST
from rateguard.embedded.process import free_port
from rateguard.embedded.surroundings import surroundings
from rateguard.engine.providers.sim.control import SimControl


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
    """What every process of the run sees, and nothing else."""
    return surroundings(
        {
            "DJANGO_SETTINGS_MODULE": "rateguard.demo.settings",
            "RATEGUARD_ENV": "development",
            "RATEGUARD_STATE_DIR": str(place.folder),
            "RATEGUARD_ENCRYPTION_KEYS": place.encryption_key,
            "SECRET_KEY": place.secret_key,
            "REDIS_URL": f"redis://{LOCALHOST}:{place.valkey_port}/0",
        }
    )
