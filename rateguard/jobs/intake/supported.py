"""What no deployment of a model can do is refused when it is submitted, not after a wait: `unsupported_by_provider`, with its place.

Where one of them can, the request is taken, and goes to those that can.
"""

from __future__ import annotations

import functools
from typing import Any

from django.core.signals import setting_changed

from rateguard.engine.errors import InvalidRequest, RateguardError
from rateguard.engine.providers.base import Endpoint, Request, Target
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.registry import ProviderRegistry
from rateguard.providers import known
from tenants.directory import Place


def supporting(body: dict[str, Any], endpoint: Endpoint, places: tuple[Place, ...]) -> tuple[Place, ...]:
    """Those of these deployments that can do it, in their order. Raises InvalidRequest as the first of them does, where none can.

    Deployments that differ by their key alone are asked once.
    """
    request = Request(endpoint, body, "")
    answers: list[tuple[Target, InvalidRequest | None]] = []
    able = []
    for place in places:
        known_answer = next((one for one in answers if _is_alike(one[0], place.target)), None)
        refusal = _refusal(place.target, request, answers) if known_answer is None else known_answer[1]
        if refusal is None:
            able.append(place)
    if not able and answers:
        raise next(refusal for _, refusal in answers if refusal is not None)
    return tuple(able)


def _is_alike(one: Target, other: Target) -> bool:
    """Whether they are spoken to in the same words."""
    return one is other or (
        one.provider == other.provider
        and one.upstream_model == other.upstream_model
        and one.base_url == other.base_url
        and one.region == other.region
        and one.options == other.options
    )


def _refusal(target: Target, request: Request, answers: list[tuple[Target, InvalidRequest | None]]) -> InvalidRequest | None:
    """Why a deployment cannot do it: what it lacks, or what has no words in its dialect. What is found out is kept in `answers`."""
    refusal = None
    try:
        provider = _registry().get(target.provider)
        provider.check(target, request)
        if not provider.check_says_all:
            provider.write(target, request, is_streamed=request.body.get("stream") is True and provider.capabilities.streaming)
    except InvalidRequest as found:
        refusal = found
    except RateguardError:
        return None  # an account that is not set up: the call says so, and an operator mends it
    answers.append((target, refusal))
    return refusal


@functools.cache
def _registry() -> ProviderRegistry:
    """For its dialects alone: its client is never opened."""
    return ProviderRegistry(HttpClient(), known())


def _forget(*, setting: str, **_: object) -> None:
    if setting == "RATEGUARD":
        _registry.cache_clear()


setting_changed.connect(_forget, dispatch_uid="rateguard.supported")
