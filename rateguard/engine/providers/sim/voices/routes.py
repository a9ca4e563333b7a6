"""Which dialect an address belongs to."""

from __future__ import annotations

from rateguard.engine.providers.sim.voices.asked import Kind, Place
from rateguard.engine.providers.sim.voices.openai.voice import OpenAIVoice
from rateguard.engine.providers.sim.voices.voice import Voice
from rateguard.engine.providers.sim.wire import Exchange

OPENAI = OpenAIVoice()

_EXACT: dict[tuple[str, str], tuple[Voice, Place]] = {
    ("POST", "/v1/chat/completions"): (OPENAI, Place(Kind.CHAT)),
    ("POST", "/v1/embeddings"): (OPENAI, Place(Kind.EMBEDDINGS)),
    ("GET", "/v1/models"): (OPENAI, Place(Kind.MODELS)),
}


def find(exchange: Exchange) -> tuple[Voice, Place | None]:
    """Who speaks here, and of what; no place: it knows no such address."""
    return _EXACT.get((exchange.method, exchange.path)) or (OPENAI, None)
