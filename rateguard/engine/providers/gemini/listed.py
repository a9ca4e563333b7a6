"""The models that Google lists, at either API."""

from __future__ import annotations

import orjson


def names_of(body: bytes) -> tuple[str, ...]:
    """Their names as a deployment has them: `models/gemini-…` and `publishers/google/models/gemini-…` without what stands before."""
    try:
        told = orjson.loads(body)
        listed = told.get("models") or told.get("publisherModels") or ()
        return tuple(sorted(str(one["name"]).rpartition("models/")[2] for one in listed))
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return ()
