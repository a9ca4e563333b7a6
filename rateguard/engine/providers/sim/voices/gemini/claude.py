"""Claude on Vertex: Anthropic's messages at Google's addresses; the version is in the body, the model in the path."""

from __future__ import annotations

from rateguard.engine.providers.sim.voices.anthropic import request
from rateguard.engine.providers.sim.voices.anthropic.refusals import invalid
from rateguard.engine.providers.sim.voices.anthropic.voice import AnthropicVoice
from rateguard.engine.providers.sim.voices.asked import Asked, Place
from rateguard.engine.providers.sim.voices.openai.request import parse_object
from rateguard.engine.providers.sim.voices.voice import Refused
from rateguard.engine.providers.sim.wire import Exchange

_VERSIONS = {"vertex-2023-10-16": request.OLD, request.NEW: request.NEW}


class VertexClaudeVoice(AnthropicVoice):
    """Claude at `publishers/anthropic/models/{model}:rawPredict`."""

    provider = "vertex"

    def parse(self, place: Place, exchange: Exchange, raw: bytes) -> Asked:
        """Messages to answer. Raises Refused."""
        body = parse_object(raw)
        if body is None:
            raise Refused(invalid("The request body is not valid JSON", exchange.request_id))
        version = _VERSIONS.get(str(body.get("anthropic_version")), "")
        body = {**body, "model": place.model or body.get("model"), "stream": place.is_streamed}
        text = request.complaint(place, body, version).replace("anthropic-version: header is required", "anthropic_version: Field required")
        if text:
            raise Refused(invalid(text, exchange.request_id))
        return request.parse(place, body, exchange.request_id)
