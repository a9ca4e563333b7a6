"""Google's addresses: `models/{model}:{verb}`, on Vertex behind a project and a location."""

from __future__ import annotations

import re

from rateguard.engine.providers.sim.voices.asked import Kind, Place

GENERATE, EMBED, BATCH, PREDICT, CLAUDE = "generate", "embed", "batch", "predict", "claude"
_VERBS = {
    "generateContent": Place(Kind.CHAT, form=GENERATE),
    "streamGenerateContent": Place(Kind.CHAT, is_streamed=True, form=GENERATE),
    "countTokens": Place(Kind.COUNT, form=GENERATE),
    "embedContent": Place(Kind.EMBEDDINGS, form=EMBED),
    "batchEmbedContents": Place(Kind.EMBEDDINGS, form=BATCH),
    "predict": Place(Kind.EMBEDDINGS, form=PREDICT),
    "rawPredict": Place(Kind.CHAT, form=CLAUDE),
    "streamRawPredict": Place(Kind.CHAT, is_streamed=True, form=CLAUDE),
}
_ONLY_VERTEX = frozenset({"predict", "rawPredict", "streamRawPredict"})
_GEMINI = re.compile(r"/v1(?:beta|alpha)?/models/([^/:]+):(\w+)")
_VERTEX = re.compile(r"/v1(?:beta1)?/(?:projects/[^/]+/locations/[^/]+/)?publishers/(google|anthropic)/models/([^/:]+):(\w+)")
_VERTEX_LIST = re.compile(r"/v1(?:beta1)?/publishers/google/models")
COUNTING = "count-tokens"
"""What stands for a model where Claude's tokens are counted; the body names it."""
TOKEN = "/token"  # noqa: S105 - an address


def of_gemini(path: str) -> Place | None:
    """An address of the Gemini API."""
    found = _GEMINI.fullmatch(path)
    if found is None or found[2] in _ONLY_VERTEX or found[2] not in _VERBS:
        return None
    return _placed(found[2], found[1])


def of_vertex(path: str) -> Place | None:
    """An address of Vertex AI; `/token` stands for Google's OAuth server."""
    if path == TOKEN:
        return Place(Kind.TOKEN)
    if _VERTEX_LIST.fullmatch(path):
        return Place(Kind.MODELS)
    found = _VERTEX.fullmatch(path)
    if found is None or found[3] not in _VERBS:
        return None
    place = _placed(found[3], found[2])
    if place.form == CLAUDE and place.model == COUNTING:
        place = Place(Kind.COUNT, form=CLAUDE)
    return place if (place.form == CLAUDE) == (found[1] == "anthropic") else None


def _placed(verb: str, model: str) -> Place:
    place = _VERBS[verb]
    return Place(place.kind, model, place.is_streamed, place.form)
