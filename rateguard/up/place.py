"""Where an `up` runs: its servers' addresses and what its processes find in their environment; also as a file, for other terminals."""

from __future__ import annotations

import dataclasses
import os
import shlex
import socket
from pathlib import Path

from rateguard.embedded.children import LOCALHOST, reached_at
from rateguard.embedded.surroundings import surroundings
from rateguard.embedded.valkey import end_orphan
from rateguard.up.options import STATE_VARIABLE, Options
from rateguard.up.state import PATIENCE_S, State, is_free, write_whole

_PASS = (
    "DATABASE_URL",
    "REDIS_URL",
    "BROKER_URL",
    "ALLOWED_HOSTS",
    "DEBUG",
    "BEHIND_TLS_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "COOKIES_OVER_HTTPS_ALONE",
    "CSRF_TRUSTED_ORIGINS",
)
_PASS_BEGINNING = ("RATEGUARD_", "DATABASE_POOL_", "SECURE_", "PG")
"""What of the shell reaches the processes: settings. The providers' keys do not: they are stored, encrypted, in the database."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """state: what lasts. url: where the web process is reached from this machine. A port is None where that server is not ours."""

    state: State
    url: str
    valkey_port: int | None
    provider_port: int | None
    control_token: str = dataclasses.field(repr=False)
    provider_key: str = dataclasses.field(repr=False)
    environment: dict[str, str] = dataclasses.field(repr=False)

    @property
    def password_file(self) -> Path:
        """Valkey's password, as a file of its configuration."""
        return self.state.folder / "valkey.conf"


def _valkey_port(state: State, password: str) -> int:
    """The kept port. A server of ours that outlived even its keeper is ended first: the folder is that of one server."""
    kept = state.kept_port("valkey")
    if kept is not None and not is_free(LOCALHOST, kept, PATIENCE_S):
        end_orphan(kept, password)
    return state.port("valkey")


def url_of(options: Options) -> str:
    """Where this machine reaches the web process."""
    return f"http://{reached_at(options.host)}:{options.port}"


def make_place(state: State, options: Options) -> Place:
    """The place of this start. Raises CannotStart."""
    secrets = state.secrets()
    valkey_port = None if os.environ.get("REDIS_URL") else _valkey_port(state, secrets["valkey_password"])
    redis_url = os.environ.get("REDIS_URL") or f"redis://:{secrets['valkey_password']}@{LOCALHOST}:{valkey_port}/0"
    return Place(
        state=state,
        url=url_of(options),
        valkey_port=valkey_port,
        provider_port=state.port("provider") if options.with_sim else None,
        control_token=secrets["control_token"],
        provider_key=secrets["provider_key"],
        environment=_environment(state, secrets, redis_url, options),
    )


def write_files(place: Place) -> None:
    """Valkey's password, and the environment as lines that a shell and manage.py can read."""
    write_whole(place.password_file, f"requirepass {place.state.secrets()['valkey_password']}\n")
    ours = {name: text for name, text in place.environment.items() if _is_ours(name)}
    lines = [f"{name}={shlex.quote(text)}\n" for name, text in sorted(ours.items())]
    write_whole(place.state.environment_file, "".join(["# Made at each start of `manage.py up`; manage.py reads it too.\n", *lines]))


def _is_ours(name: str) -> bool:
    return name != "RATEGUARD_BOOTSTRAP" and (name in {*_PASS, "SECRET_KEY", "DJANGO_SETTINGS_MODULE"} or name.startswith(_PASS_BEGINNING))


def _environment(state: State, secrets: dict[str, str], redis_url: str, options: Options) -> dict[str, str]:
    """Production's refusals are on; HTTPS is for what stands in front. What the shell says of these comes first."""
    shell = os.environ
    encryption_keys = [key for key in (shell.get("RATEGUARD_ENCRYPTION_KEYS", ""), secrets["encryption_key"]) if key]
    defaults = {
        "RATEGUARD_ENV": "production",
        "RATEGUARD_HOSTS": "1",
        "ALLOWED_HOSTS": ",".join(_names_of(options.host)),
        "SECURE_SSL_REDIRECT": "0",
        "SECURE_HSTS_SECONDS": "0",
        "COOKIES_OVER_HTTPS_ALONE": shell.get("BEHIND_TLS_PROXY") or "0",
        "RATEGUARD_URL": url_of(options),
        "SECRET_KEY": secrets["secret_key"],
    }
    said = {
        **{name: shell.get(name) or text for name, text in defaults.items()},
        "DJANGO_SETTINGS_MODULE": "rateguard.settings",
        STATE_VARIABLE: str(state.folder),
        "RATEGUARD_ENCRYPTION_KEYS": ",".join(encryption_keys),
        "REDIS_URL": redis_url,
    }
    return surroundings(said, also=_PASS, prefixes=_PASS_BEGINNING)


def _names_of(host: str) -> list[str]:
    """The names under which the web process is called, unless ALLOWED_HOSTS says more."""
    return list(dict.fromkeys([LOCALHOST, "localhost", "[::1]", reached_at(host), socket.gethostname().lower()]))
