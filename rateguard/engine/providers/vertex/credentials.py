"""OAuth tokens of Google Cloud, by google-auth: fetched in a thread, shared, and renewed before they run out.

A token lives an hour; how it is kept, `kept` says. google-auth comes with the extra `vertex` and is loaded at the first fetch.
"""

from __future__ import annotations

import asyncio
import calendar
import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

from rateguard.engine.errors import ConfigurationError, ErrorKind, ProviderError
from rateguard.engine.providers.kept import Fresh, Keeper, named
from rateguard.engine.providers.vertex.secrets import Kind, parse

FRESH_UNTIL_S = 300.0
"""Before a token's end. Google's own servers keep theirs until four minutes before it; asked sooner they give the same one again."""
LAST_USE_S = 30.0
"""A token with less left is waited for no more: it could run out on the way."""
FETCH_TIMEOUT_S = 10.0

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """One. expires_at: seconds of the wall clock."""

    value: str = dataclasses.field(repr=False)
    expires_at: float


class Tokens:
    """The tokens of accounts. fetch: secret → token, in a thread; clock: seconds of the wall clock."""

    def __init__(self, fetch: Callable[[str], Token] | None = None, clock: Callable[[], float] = time.time) -> None:
        self._fetch = fetch or fetch_token
        self._keeper: Keeper[Token] = Keeper(clock, early_s=FRESH_UNTIL_S, last_use_s=LAST_USE_S)

    async def get(self, secret: str) -> Token:
        """A token that is good now. Raises ProviderError (AUTH, or CONNECT where Google could not be reached), ConfigurationError."""
        return await self._keeper.get(named(secret), functools.partial(self._fresh, secret))

    def now(self, secret: str) -> Token:
        """The same for a thread that may wait."""
        return self._keeper.now(named(secret), functools.partial(self._fresh, secret))

    def forget(self, secret: str) -> None:
        """Google refused it: the next call gets another."""
        self._keeper.forget(named(secret))

    async def _fresh(self, secret: str) -> Fresh[Token]:
        try:
            async with asyncio.timeout(2 * FETCH_TIMEOUT_S):
                token = await asyncio.to_thread(self._fetch, secret)
        except TimeoutError:
            raise ProviderError("no token from Google in time", kind=ErrorKind.CONNECT) from None
        return Fresh(token, token.expires_at)


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
