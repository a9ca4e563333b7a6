"""AWS credentials of the machine itself: environment, profile, role, web identity, whatever botocore finds; renewed off the event loop.

botocore is imported at the first use. Credentials that it found are kept, and asked for anew a quarter of an hour before they end, while
the old ones are used (see `kept`). AWS_BEARER_TOKEN_BEDROCK in the environment goes before all of it, unless a profile is named.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from rateguard.engine.errors import ConfigurationError, ErrorKind, ProviderError
from rateguard.engine.providers.bedrock.secret import Bearer, Keys
from rateguard.engine.providers.kept import Fresh, Keeper

EARLY_S = 900.0
"""As botocore itself: a quarter of an hour before their end others are fetched."""
LAST_USE_S = 60.0
ASK_AGAIN_S = EARLY_S + 60.0
FRESH_S = 60.0
"""Credentials fetched so lately and refused are wrong: fetching them once more does not help."""
BURST_S = 5.0
"""For so long after credentials were forgotten, a refusal is still one of calls that had been signed with them."""
_NONE = "this machine has no AWS credentials: give it a role or a profile, or put keys into the account's credentials"

_PASSING = frozenset({"MetadataRetrievalError", "CredentialRetrievalError", "HTTPClientError", "OSError"})
"""Exceptions by their names: botocore may not be loaded."""


@dataclasses.dataclass(slots=True)
class _Found:
    """What botocore found: an object of its own that renews itself, in whichever thread asks it."""

    credentials: Any = dataclasses.field(repr=False)
    at_s: float

    def fresh(self, now_s: float) -> Fresh[Keys]:
        """Its keys of now. Where it says that they end, but not when, it is asked again soon."""
        frozen = self.credentials.get_frozen_credentials()
        until = getattr(self.credentials, "_expiry_time", None)
        if until is not None:
            until_s = until.timestamp()
        else:
            until_s = now_s + ASK_AGAIN_S if hasattr(self.credentials, "refresh_needed") else math.inf
        return Fresh(Keys(frozen.access_key, frozen.secret_key, frozen.token or ""), until_s)


class MachineCredentials:
    """By the name of a profile ("": none). clock: seconds of the wall clock."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._found: dict[str, _Found] = {}
        self._keeper: Keeper[Keys] = Keeper(clock, early_s=EARLY_S, last_use_s=LAST_USE_S)
        self._forgotten_at_s: dict[str, float] = {}

    async def of(self, profile: str) -> Keys | Bearer:
        """The credentials of now. Raises ProviderError (AUTH), ConfigurationError where botocore is not installed."""
        return _bearer(profile) or await self._keeper.get(profile, functools.partial(self._fetch, profile))

    def now(self, profile: str) -> Keys | Bearer:
        """The same in this thread, which waits for it."""
        return _bearer(profile) or self._keeper.now(profile, functools.partial(self._fetch, profile))

    async def _fetch(self, profile: str) -> Fresh[Keys]:
        return await asyncio.to_thread(self._ask, profile)

    def _ask(self, profile: str) -> Fresh[Keys]:
        found = self._found.get(profile)
        try:
            if found is None:
                found = _Found(_find(profile), time.monotonic())
            fresh = found.fresh(self._clock())
        except (ProviderError, ConfigurationError):
            raise
        except Exception as error:  # noqa: BLE001 - botocore raises whatever its many sources raise
            kind = ErrorKind.CONNECT if _is_passing(error) else ErrorKind.AUTH
            raise ProviderError(f"no AWS credentials could be fetched: {type(error).__name__}", kind=kind) from None
        self._found[profile] = found
        return fresh

    def forget(self, profile: str) -> bool:
        """They were refused: fetch others next time. False where they are fresh, or there never were any: then that does not help."""
        now_s, found = time.monotonic(), self._found.get(profile)
        if found is not None and now_s - found.at_s >= FRESH_S:
            del self._found[profile]
            self._keeper.forget(profile)
            self._forgotten_at_s[profile] = now_s
            return True
        forgotten_at_s = self._forgotten_at_s.get(profile)
        return forgotten_at_s is not None and now_s - forgotten_at_s < BURST_S


def _is_passing(error: Exception) -> bool:
    """Whether who hands out the credentials was away, or asked too often, rather than that there are none."""
    if {one.__name__ for one in type(error).__mro__} & _PASSING:
        return True
    answer = getattr(error, "response", None)  # botocore's ClientError, of the service that hands out a role's
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) if isinstance(answer, dict) else 0
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _bearer(profile: str) -> Bearer | None:
    token = "" if profile else os.environ.get("AWS_BEARER_TOKEN_BEDROCK")
    return Bearer(token) if token else None


def _find(profile: str) -> Any:
    try:
        import botocore.session  # noqa: PLC0415 - an extra, and slow to load
    except ImportError:
        raise ConfigurationError('for the machine\'s own AWS credentials: pip install "rateguard[bedrock]"') from None
    found = botocore.session.Session(profile=profile or None).get_credentials()
    if found is None:
        raise ProviderError(_NONE, kind=ErrorKind.AUTH)
    return found
