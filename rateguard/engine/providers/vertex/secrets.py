"""What an account's secret is: a service account's JSON, an API key, or nothing: this machine's own credentials."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.errors import ConfigurationError

_KINDS = frozenset({"service_account", "authorized_user"})
"""Others (workload identities) name files, addresses and programs of the machine: they are its own credentials, never a typed secret."""


class Kind(enum.Enum):
    """How a call is signed."""

    KEY = "key"
    JSON = "json"
    MACHINE = "machine"


@dataclasses.dataclass(frozen=True, slots=True)
class Secret:
    """One, read. info: of a JSON, what it holds."""

    kind: Kind
    info: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False, hash=False)

    @property
    def project(self) -> str:
        """The project that it names, or ""."""
        return str(self.info.get("project_id") or self.info.get("quota_project_id") or "")

    @property
    def token_uri(self) -> str:
        """Where its tokens are asked for; "" where it leaves that to google-auth."""
        return str(self.info.get("token_uri") or "")


@functools.lru_cache(maxsize=256)
def parse(text: str) -> Secret:
    """Read an account's secret. Raises ConfigurationError, in which nothing of it stands."""
    text = text.strip()
    if not text:
        return Secret(Kind.MACHINE)
    if not text.startswith("{"):
        return Secret(Kind.KEY)
    try:
        info = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ConfigurationError("the account's secret begins like JSON and is none: paste the whole file of the service account") from None
    if info.get("type") not in _KINDS:
        raise ConfigurationError(f"the account's secret is JSON of another type than {' or '.join(sorted(_KINDS))}")
    return Secret(Kind.JSON, info)
