"""Gemini's dialect at Vertex AI, with the secret of a service account that no server knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.errors import ErrorKind
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Target
from rateguard.engine.providers.provider import Provider
from rateguard.engine.providers.vertex.adapter import VertexProvider
from tests.dialects.gemini_speech import GeminiSpeech, google_error
from tests.dialects.speech import Wrong

SECRET = orjson.dumps(
    {"type": "service_account", "project_id": "acme-1", "client_email": "a@acme-1.example", "private_key": "none"}
).decode()


class VertexSpeech(GeminiSpeech):
    """Vertex AI in one region."""

    provider: type[Provider] = VertexProvider
    target = Target("vertex", "https://aiplatform.googleapis.com", SECRET, "gemini-2.5-flash", "europe-west4")
    end_of_line = b"\n"
    lacks: Mapping[str, str] = {
        **GeminiSpeech.lacks,
        **dict.fromkeys(
            ("many_scripts", "length", "content_filter", "tools_behind_text"), "said at the Gemini API, and read by the same reader"
        ),
    }

    def errors(self) -> Mapping[str, Wrong]:
        """As the Gemini API's; and the pool that all customers share is busy: a short rest."""
        busy = google_error(429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later.")
        refused = google_error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials: ya29.a0-secret")
        ours = {name: wrong for name, wrong in super().errors().items() if name != "key"}  # a service account is no word of a message
        return {
            **ours,
            "token": Wrong(401, refused, ErrorKind.AUTH),
            "shared": Wrong(429, busy, ErrorKind.RATE_LIMITED, retry_after_ms=2_000, cools="deployment"),
        }

    def usage_of(self, usage: Usage) -> dict[str, Any]:
        """With the kind of traffic."""
        return {**super().usage_of(usage), "trafficType": "ON_DEMAND"}


SPEECH = VertexSpeech()
