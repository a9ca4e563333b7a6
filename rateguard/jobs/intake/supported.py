"""What no deployment of a model can do is refused when it is submitted, not after a wait: `unsupported_by_provider`, with its place.

Where one of them can, the request is taken.
"""

from __future__ import annotations

import functools
from typing import Any

from django.core.signals import setting_changed

from rateguard.engine.errors import InvalidRequest, RateguardError
from rateguard.engine.providers.base import Endpoint, Request
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.registry import ProviderRegistry
from rateguard.providers import known
from tenants.directory import Place


def check_supported(body: dict[str, Any], endpoint: Endpoint, places: tuple[Place, ...]) -> None:
    """Ask the deployments in their order whether they can do it. Raises InvalidRequest as the first of them does, where none can."""
    request, first = Request(endpoint, body, ""), None
    for place in places:
        refusal = _refusal(place, request)
        if refusal is None:
            return
        first = first or refusal
    if first is not None:
        raise first


def _refusal(place: Place, request: Request) -> InvalidRequest | None:
    """Why a deployment cannot do it: what it lacks, or what has no words in its dialect."""
    try:
        provider = _registry().get(place.target.provider)
        provider.check(place.target, request)
        if not provider.check_says_all:
            provider.write(place.target, request, is_streamed=request.body.get("stream") is True and provider.capabilities.streaming)
    except InvalidRequest as refusal:
        return refusal
    except RateguardError:
        return None  # an account that is not set up: the call says so, and an operator mends it
    return None


@functools.cache
def _registry() -> ProviderRegistry:
    """For its dialects alone: its client is never opened."""
    return ProviderRegistry(HttpClient(), known())


def _forget(*, setting: str, **_: object) -> None:
    if setting == "RATEGUARD":
        _registry.cache_clear()


setting_changed.connect(_forget, dispatch_uid="rateguard.supported")
