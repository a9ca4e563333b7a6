"""Whether a request can be put to a Claude model at all."""

from __future__ import annotations

from rateguard.engine.providers import features
from rateguard.engine.providers.anthropic.models import capabilities_of
from rateguard.engine.providers.base import Request, Target


def check(provider: str, target: Target, request: Request) -> None:
    """Refuse what the model cannot do: InvalidRequest (`unsupported_by_provider`). What only writing can tell, request.py refuses."""
    body = request.body
    if body.get("service_tier") == "standard_only":  # Anthropic's own word
        body = {**body, "service_tier": None}
    features.check(provider, capabilities_of(target), request.endpoint, body)
