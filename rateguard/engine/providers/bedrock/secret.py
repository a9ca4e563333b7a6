"""What an account's secret holds: AWS keys, a Bedrock API key, or nothing. Never in a repr.

{"access_key_id": "AKIA…", "secret_access_key": "…", "session_token": "…"}     keys, the token only of temporary ones
AKIA…:secret[:session token]                                                   the same in one line
ABSK…, bedrock-api-key-…, anything else                                        a Bedrock API key, sent as a bearer token
                                                                               (empty) this machine's own: see machine.py
"""

from __future__ import annotations

import dataclasses
import functools
import re

import orjson

from rateguard.engine.errors import ConfigurationError

_IN_ONE_LINE = re.compile(r"^(?P<access>A[KS]IA[A-Z0-9]{8,}):(?P<secret>[^:\s]+)(?::(?P<token>[^:\s]+))?$")
_SHAPE = "a JSON object with access_key_id, secret_access_key and, for temporary keys, session_token"
_MARKS = re.compile(
    r"\bA[KS]IA[A-Z0-9]{8,}|\bABSK[A-Za-z0-9+/=]{8,}|\bbedrock-api-key-[\w+/=-]+|\bx-amz-security-token:\s*\S+", re.IGNORECASE
)
"""What looks like a key. Where a signature is wrong AWS says back what was signed, the session's token too."""
_SHORTEST_SECRET = 6


@dataclasses.dataclass(frozen=True, slots=True)
class Keys:
    """What a request is signed with. session_token: "" for keys that do not expire."""

    access_key_id: str
    secret_access_key: str = dataclasses.field(repr=False)
    session_token: str = dataclasses.field(default="", repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Bearer:
    """A Bedrock API key."""

    token: str = dataclasses.field(repr=False)


@functools.lru_cache(maxsize=256)
def parse_secret(secret: str) -> Keys | Bearer | None:
    """What it holds; None for nothing. Raises ConfigurationError, in which nothing of it stands."""
    if not secret:
        return None
    if secret.startswith("{"):
        return _from_json(secret)
    found = _IN_ONE_LINE.match(secret)
    if found:
        return Keys(found["access"], found["secret"], found["token"] or "")
    if re.match(r"^A[KS]IA", secret):
        raise ConfigurationError(f"the Bedrock account's credentials begin like an access key: write AKIA…:secret, or {_SHAPE}")
    return Bearer(secret)


def redacted(text: str, secret: str) -> str:
    """A text without the secret, any part of it, and whatever looks like a key of AWS."""
    for part in sorted(_parts(secret), key=len, reverse=True):
        text = text.replace(part, "[key]")
    return _MARKS.sub("[key]", text)


@functools.lru_cache(maxsize=256)
def _parts(secret: str) -> tuple[str, ...]:
    try:
        held = parse_secret(secret)
    except ConfigurationError:
        held = None
    parts = {secret}
    if isinstance(held, Keys):
        parts |= {held.access_key_id, held.secret_access_key, held.session_token}
    return tuple(part for part in parts if len(part) >= _SHORTEST_SECRET)


def _from_json(secret: str) -> Keys:
    try:
        said = orjson.loads(secret)
    except orjson.JSONDecodeError:
        raise ConfigurationError(f"the Bedrock account's credentials are no JSON: write {_SHAPE}") from None
    names = {"access_key_id", "secret_access_key", "session_token"}
    is_whole = bool(said.get("access_key_id") and said.get("secret_access_key"))
    if not is_whole or not set(said) <= names or not all(isinstance(value, str) for value in said.values()):
        raise ConfigurationError(f"the Bedrock account's credentials are not {_SHAPE}")
    return Keys(said["access_key_id"], said["secret_access_key"], said.get("session_token") or "")
