"""Ask a provider for its models: says whether it is there and takes the key, and spends no token. How each is asked, its adapter says."""

from __future__ import annotations

import dataclasses
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any

from rateguard.engine.errors import RateguardError
from rateguard.engine.providers.base import Target
from rateguard.engine.providers.compatible.presets import Preset
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.probe import Probe
from rateguard.engine.providers.provider import Provider
from rateguard.engine.providers.registry import PROVIDERS, ProviderRegistry
from rateguard.engine.readings import Reading

TIMEOUT_S = 4.0
NO_PROBE = "it has no page that can be asked at no cost"
"""The reason of a listing that nobody was asked for."""
_MOST_BYTES = 4 * 1024 * 1024
_REFUSED = {401, 403}


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """What came back. status: 0 where nobody answered, and `reason` says why. models: their names, as the provider calls them.

    headers: of the answer, names in lower case. readings: what they say of the provider's limits.
    """

    status: int
    ms: int
    models: tuple[str, ...] = ()
    reason: str = ""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    readings: tuple[Reading, ...] = ()

    @property
    def was_asked(self) -> bool:
        """Whether there was a way to ask at no cost."""
        return self.reason != NO_PROBE

    @property
    def is_refused(self) -> bool:
        """Whether the provider is there and does not take the key."""
        return self.status in _REFUSED

    @property
    def is_good(self) -> bool:
        """Whether it answered as it should."""
        return self.status == 200


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key goes to the address that was configured, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def list_models(base_url: str, key: str) -> Listing:
    """What OpenAI, or who speaks like it, lists: GET {base_url}/models with the key. As `ask`."""
    return look("openai", Target("openai", base_url, key, ""))


def look(provider: str, target: Target, providers: Mapping[str, str | Preset] = PROVIDERS) -> Listing:
    """What the provider of that name lists. As `ask`; one that cannot be asked at no cost says so in `reason`."""
    try:
        adapter = ProviderRegistry(HttpClient(), providers).get(provider)
        probe = adapter.probe(target)
    except RateguardError as error:
        return Listing(0, 0, reason=str(error))
    except Exception as error:  # noqa: BLE001 - what signs a request, or a provider of the project's own, raises whatever it likes
        return Listing(0, 0, reason=type(error).__name__)
    return Listing(0, 0, reason=NO_PROBE) if probe is None else _read(adapter, target, ask(probe))


def _read(adapter: Provider, target: Target, found: Listing) -> Listing:
    """With what its headers say of the provider's limits."""
    try:
        return dataclasses.replace(found, readings=adapter.readings(target, found.headers)) if found.headers else found
    except Exception:  # noqa: BLE001 - as above; the listing is good all the same
        return found


def ask(probe: Probe) -> Listing:
    """Ask; never raises. Nothing of the key is in what it returns."""
    began_at = time.monotonic()
    try:
        request = urllib.request.Request(probe.url, headers=dict(probe.headers))  # noqa: S310 - see the account's base URL
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_S) as reply:
            status, models = reply.status, probe.names(reply.read(_MOST_BYTES))
            return Listing(status, _ms(began_at), models, headers=_headers(reply.headers.items()))
    except urllib.error.HTTPError as error:
        error.close()
        return Listing(error.code, _ms(began_at), reason=f"HTTP {error.code}", headers=_headers(error.headers.items()))
    except urllib.error.URLError as error:
        return Listing(0, _ms(began_at), reason=_words(error.reason))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Listing(0, _ms(began_at), reason=_words(error))


def _words(reason: object) -> str:
    """What went wrong, without the request: a name that is unknown, nobody who listens, a certificate that nobody signed."""
    if isinstance(reason, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    return type(reason).__name__ if isinstance(reason, Exception) else str(reason)


def _headers(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in items}


def _ms(began_at: float) -> int:
    return int((time.monotonic() - began_at) * 1_000)
