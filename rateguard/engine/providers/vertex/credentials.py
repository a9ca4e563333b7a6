"""OAuth tokens of Google Cloud, by google-auth: fetched in a thread, shared, and renewed before they run out.

A token lives an hour. From FRESH_UNTIL_S before its end a new one is fetched while the old one is used; only a token that is over is waited
for. Callers that want the same one wait for one fetch. google-auth comes with the extra `vertex` and is loaded at the first fetch.
"""

from __future__ import annotations

import asyncio
import calendar
import dataclasses
import functools
import hashlib
import time
from collections.abc import Callable
from typing import Any

from rateguard.engine.errors import ConfigurationError, ErrorKind, ProviderError
from rateguard.engine.providers.vertex.secrets import Kind, parse

FRESH_UNTIL_S = 300.0
"""Before a token's end. Google's own servers keep theirs until four minutes before it; asked sooner they give the same one again."""
LAST_USE_S = 30.0
"""A token with less left is waited for no more: it could run out on the way."""
FETCH_TIMEOUT_S = 10.0
MOST_HELD = 1_024

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """One. expires_at: seconds of the wall clock."""

    value: str = dataclasses.field(repr=False)
    expires_at: float


class Tokens:
    """The tokens of one event loop's accounts. fetch: secret → token, in a thread; clock: seconds of the wall clock."""

    def __init__(self, fetch: Callable[[str], Token] | None = None, clock: Callable[[], float] = time.time) -> None:
        self._fetch = fetch or fetch_token
        self._clock = clock
        self._held: dict[str, Token] = {}
        self._coming: dict[str, asyncio.Task[Token]] = {}

    async def get(self, secret: str) -> Token:
        """A token that is good now. Raises ProviderError (AUTH, or CONNECT where Google could not be reached), ConfigurationError."""
        name = _name(secret)
        token, left_s = self._held.get(name), 0.0
        if token is not None:
            left_s = token.expires_at - self._clock()
        if token is not None and left_s > FRESH_UNTIL_S:
            return token
        coming = self._coming.get(name)
        if coming is None:
            coming = self._coming[name] = asyncio.create_task(self._renew(name, secret))
            coming.add_done_callback(_read_error)
        if token is not None and left_s > LAST_USE_S:
            return token
        return await asyncio.shield(coming)

    def forget(self, secret: str) -> None:
        """Google refused it: the next call gets another."""
        self._held.pop(_name(secret), None)

    async def _renew(self, name: str, secret: str) -> Token:
        try:
            async with asyncio.timeout(2 * FETCH_TIMEOUT_S):
                token = await asyncio.to_thread(self._fetch, secret)
        except TimeoutError:
            raise ProviderError("no token from Google in time", kind=ErrorKind.CONNECT) from None
        finally:
            del self._coming[name]
        while len(self._held) >= MOST_HELD:
            del self._held[next(iter(self._held))]
        self._held[name] = token
        return token


def fetch_token(secret: str) -> Token:
    """Ask Google for a token; takes as long as the network. Raises as `Tokens.get`."""
    auth = _google_auth()
    try:
        credentials = _credentials(auth, secret)
        ask = functools.partial(auth.transport.requests.Request(), timeout=FETCH_TIMEOUT_S, allow_redirects=False)
        credentials.refresh(ask)
    except auth.exceptions.TransportError:
        raise ProviderError("Google's token server could not be reached", kind=ErrorKind.CONNECT) from None
    except auth.exceptions.DefaultCredentialsError:
        message = "the account has no secret, and this machine no credentials of its own: paste a service account's JSON, or an API key"
        raise ProviderError(message, kind=ErrorKind.AUTH) from None
    except (auth.exceptions.GoogleAuthError, ValueError) as error:
        kind = ErrorKind.CONNECT if getattr(error, "retryable", False) else ErrorKind.AUTH
        raise ProviderError(f"Google gave no token ({type(error).__name__})", kind=kind) from None
    expiry = credentials.expiry
    expires_at = calendar.timegm(expiry.timetuple()) if expiry else time.time() + 3_600
    return Token(credentials.token, expires_at)


def _credentials(auth: Any, secret: str) -> Any:
    read = parse(secret)
    if read.kind is Kind.MACHINE:
        return auth.default(scopes=_SCOPES)[0]
    if read.info.get("type") == "service_account":
        return auth.service_account.Credentials.from_service_account_info(dict(read.info), scopes=_SCOPES)
    return auth.user.Credentials.from_authorized_user_info(dict(read.info), scopes=_SCOPES)


class _GoogleAuth:
    """What is used of google-auth."""

    def __init__(self) -> None:
        import google.auth  # noqa: PLC0415 - an extra, loaded at its first use
        import google.auth.exceptions  # noqa: PLC0415
        import google.auth.transport.requests  # noqa: PLC0415
        import google.oauth2.credentials  # noqa: PLC0415
        import google.oauth2.service_account  # noqa: PLC0415

        self.default = google.auth.default
        self.exceptions = google.auth.exceptions
        self.transport = google.auth.transport
        self.user = google.oauth2.credentials
        self.service_account = google.oauth2.service_account


@functools.cache
def _google_auth() -> _GoogleAuth:
    try:
        return _GoogleAuth()
    except ImportError:
        raise ConfigurationError('Vertex AI needs google-auth: pip install "rateguard[vertex]"') from None


def _name(secret: str) -> str:
    """By which a secret's token is held, so that no secret is kept twice."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _read_error(task: asyncio.Task[Token]) -> None:
    """Who renewed ahead of time waits for nothing: its failure is told to who needs the token."""
    if not task.cancelled():
        task.exception()
