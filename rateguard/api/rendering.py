"""What callers are answered with, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework.renderers import BaseRenderer

from rateguard.jobs.rendering import render_job, time_text, usd

__all__ = ["JsonRenderer", "render_job", "time_text", "usd"]


class JsonRenderer(BaseRenderer):
    """JSON by orjson: a provider's answer goes out byte by byte as it came in."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None) -> bytes:
        """The body; none where there is nothing to say: a 204 with a body would be read as the beginning of the next answer."""
        return b"" if data is None else orjson.dumps(data)
