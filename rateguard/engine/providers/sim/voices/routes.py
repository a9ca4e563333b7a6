"""Which dialect an address belongs to: one port speaks all of them."""

from __future__ import annotations

import urllib.parse

from rateguard.engine.providers.sim.voices.anthropic.voice import AnthropicVoice
from rateguard.engine.providers.sim.voices.asked import Kind, Place
from rateguard.engine.providers.sim.voices.azure.voice import AzureVoice
from rateguard.engine.providers.sim.voices.bedrock.voice import BedrockVoice
from rateguard.engine.providers.sim.voices.gemini import places
from rateguard.engine.providers.sim.voices.gemini.claude import VertexClaudeVoice
from rateguard.engine.providers.sim.voices.gemini.voice import GeminiVoice, VertexVoice
from rateguard.engine.providers.sim.voices.openai.responses import FORM
from rateguard.engine.providers.sim.voices.openai.voice import OpenAIVoice
from rateguard.engine.providers.sim.voices.voice import Voice
from rateguard.engine.providers.sim.wire import Exchange

OPENAI = OpenAIVoice()
ANTHROPIC = AnthropicVoice()
AZURE = AzureVoice()
BEDROCK = BedrockVoice()
GEMINI = GeminiVoice()
VERTEX = VertexVoice()
VERTEX_CLAUDE = VertexClaudeVoice()

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
    voice, place = _find_by_path(exchange)
    if place is not None and (exchange.method == "GET") != (place.kind is Kind.MODELS):
        place = None
    return voice, place


def _find_by_path(exchange: Exchange) -> tuple[Voice, Place | None]:
    path = exchange.path
    if path.startswith("/openai/"):
        return AZURE, AZURE.find(path)
    if path.startswith(("/model/", "/foundation-models")):
        return BEDROCK, BEDROCK.find(path)
    if path == places.TOKEN or "/projects/" in path or "/publishers/" in path:
        place = VERTEX.find(path)
        return (VERTEX_CLAUDE if place and place.form == places.CLAUDE else VERTEX), place
    if ":" in path or path.startswith("/v1beta/") or exchange.header(b"x-goog-api-key"):
        return _gemini(exchange)
    is_anthropic = path.startswith("/v1/messages") or bool(exchange.header(b"anthropic-version"))
    return (ANTHROPIC if is_anthropic else OPENAI), Place(Kind.MODELS) if path == "/v1/models" else None


def _gemini(exchange: Exchange) -> tuple[Voice, Place | None]:
    """The Gemini API; a key may stand in the query."""
    if not exchange.key:
        exchange.key = dict(urllib.parse.parse_qsl(exchange.query.decode("latin-1"))).get("key", "")
    if exchange.path in {"/v1/models", "/v1beta/models"}:
        return GEMINI, Place(Kind.MODELS)
    return GEMINI, GEMINI.find(exchange.path)
