"""Which dialect an address belongs to."""

from __future__ import annotations

from rateguard.engine.providers.sim.voices.anthropic.voice import AnthropicVoice
from rateguard.engine.providers.sim.voices.asked import Kind, Place
from rateguard.engine.providers.sim.voices.azure.voice import AzureVoice
from rateguard.engine.providers.sim.voices.bedrock.voice import BedrockVoice
from rateguard.engine.providers.sim.voices.openai.responses import FORM
from rateguard.engine.providers.sim.voices.openai.voice import OpenAIVoice
from rateguard.engine.providers.sim.voices.voice import Voice
from rateguard.engine.providers.sim.wire import Exchange

OPENAI = OpenAIVoice()
ANTHROPIC = AnthropicVoice()
AZURE = AzureVoice()
BEDROCK = BedrockVoice()
MODELS = Place(Kind.MODELS)

_EXACT: dict[tuple[str, str], tuple[Voice, Place]] = {
    ("POST", "/v1/chat/completions"): (OPENAI, Place(Kind.CHAT)),
    ("POST", "/v1/embeddings"): (OPENAI, Place(Kind.EMBEDDINGS)),
    ("POST", "/v1/responses"): (OPENAI, Place(Kind.CHAT, form=FORM)),
    ("POST", "/v1/responses/input_tokens"): (OPENAI, Place(Kind.COUNT, form=FORM)),
    ("POST", "/v1/messages"): (ANTHROPIC, Place(Kind.CHAT)),
    ("POST", "/v1/messages/count_tokens"): (ANTHROPIC, Place(Kind.COUNT)),
}


def find(exchange: Exchange) -> tuple[Voice, Place | None]:
    """Who speaks here, and of what; no place: it knows no such address."""
    exact = _EXACT.get((exchange.method, exchange.path))
    if exact is not None:
        return exact
    if exchange.path.startswith("/openai/"):
        return AZURE, _if_right(AZURE.find(exchange.path), exchange.method)
    if exchange.path.startswith(("/model/", "/foundation-models")):
        return BEDROCK, _if_right(BEDROCK.find(exchange.path), exchange.method)
    is_anthropic = bool(exchange.header(b"anthropic-version"))
    if exchange.method == "GET" and exchange.path == "/v1/models":
        return (ANTHROPIC if is_anthropic else OPENAI), MODELS
    return (ANTHROPIC if is_anthropic or exchange.path.startswith("/v1/messages") else OPENAI), None


def _if_right(place: Place | None, method: str) -> Place | None:
    """Lists are asked for with GET, all else with POST."""
    return place if place and (method == "GET") == (place.kind is Kind.MODELS) else None
