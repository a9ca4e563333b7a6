"""Tokens of Microsoft Entra: fetched for a service principal, kept, and renewed before they run out.

The account's credentials are a JSON object with tenant_id, client_id and client_secret; anything else is a token already. Source: the
client-credentials grant of Microsoft's identity platform.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from urllib.parse import quote, urlencode

import orjson

from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.providers.azure.clouds import Cloud
from rateguard.engine.providers.base import Endpoint, Request, Wire
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.kept import Fresh, Keeper, named

EARLY_S = 300.0
"""A token is fetched anew this long before it runs out."""
LAST_USE_S = 30.0
MOST_S = 3_600.0
FETCH_TIMEOUT_S = 10.0
_PARTS = ("tenant_id", "client_id", "client_secret")


class EntraTokens:
    """The tokens of service principals. clock: monotonic seconds."""

    def __init__(self, http: HttpClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._clock = clock
        self._keeper: Keeper[str] = Keeper(clock, early_s=EARLY_S, last_use_s=LAST_USE_S)

    async def token(self, credentials: str, cloud: Cloud) -> str:
        """A token that is good now. Raises ProviderError (AUTH, or what fetching it ran into)."""
        principal = _principal(credentials)
        if principal is None:
            return credentials
        return await self._keeper.get(named(cloud.authority, credentials), functools.partial(self._fetch, principal, cloud))

    async def _fetch(self, principal: dict[str, str], cloud: Cloud) -> Fresh[str]:
        asked_at = self._clock()
        form = {
            "grant_type": "client_credentials",
            "client_id": principal["client_id"],
            "client_secret": principal["client_secret"],
            "scope": cloud.scope,
        }
        wire = Wire(
            f"{cloud.authority}/{quote(principal['tenant_id'], safe='')}/oauth2/v2.0/token",
            {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json", "User-Agent": "rateguard"},
            urlencode(form).encode(),
        )
        reply = await self._http.post(wire, Request(Endpoint.CHAT, {}, "", total_timeout_s=FETCH_TIMEOUT_S))
        if reply.status >= 500:
            raise ProviderError(f"Entra answers {reply.status}", kind=ErrorKind.SERVER, status=reply.status)
        try:
            told = orjson.loads(reply.body)
            return Fresh(str(told["access_token"]), asked_at + min(float(told.get("expires_in") or 0), MOST_S))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise ProviderError(
                f"Entra gives no token for these credentials ({reply.status})", kind=ErrorKind.AUTH, status=reply.status, cools="account"
            ) from None


def _principal(credentials: str) -> dict[str, str] | None:
    """A service principal; None for what is a token already. Raises ProviderError (AUTH) for one with a part missing."""
    if not credentials.startswith("{"):
        return None
    try:
        given = orjson.loads(credentials)
    except orjson.JSONDecodeError:
        given = {}
    if not all(isinstance(given.get(part), str) and given[part] for part in _PARTS):
        raise ProviderError(f"credentials for Entra are a token, or JSON with {', '.join(_PARTS)}", kind=ErrorKind.AUTH)
    return {part: given[part] for part in _PARTS}
