"""The marks of a request: which of its model's deployments cannot do it, and which one keeps its session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rateguard import wiring
from rateguard.engine.routing.marks import Marks
from rateguard.engine.routing.sticky import home
from rateguard.jobs.marked import as_column
from tenants.directory import Place
from tenants.routing import PLAIN, Routing


def marks_of(model: str, places: Sequence[Place], able: Sequence[Place], session: str) -> str:
    """As a job's row holds them. able: those of `places` that can do it; session: "" for none."""
    can = {place.id for place in able}
    never = [str(place.id) for place in places if place.id not in can]
    first = _home_of(session, able, wiring.directory().routing.get(model, PLAIN)) if session else ""
    if not never and not first:
        return ""
    text = as_column(Marks(frozenset(never), first))
    while text is None:  # the call finds out about those that are left unmarked
        never.pop()
        text = as_column(Marks(frozenset(never)))
    return text


def session_in(body: Mapping[str, Any]) -> str:
    """The session that a body names itself: OpenAI's `prompt_cache_key`."""
    named = body.get("prompt_cache_key")
    return named if isinstance(named, str) else ""


def _home_of(session: str, able: Sequence[Place], routing: Routing) -> str:
    """Where the session's prompts are cached; "" where the model's sessions are not kept together, or there is no choice."""
    if not routing.is_sticky or len(able) < 2:
        return ""
    return home(session, [(str(place.id), routing.weights.get(place.id, 1)) for place in able])
