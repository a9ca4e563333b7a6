"""What OpenAI's models cannot do, by the beginning of their names. Only what is sure is refused here; the rest OpenAI refuses itself.

Sources: OpenAI's pages on reasoning models and on using its latest models, recorded 400s. Reasoning models take `temperature` and `top_p`
at their default, 1, alone; from gpt-5.1 on any while the effort is `none`. Not verified: `parallel_tool_calls` and `stop` of o-series.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rateguard.engine.providers.base import Endpoint, Request
from rateguard.engine.providers.capabilities import EVERYTHING, Capabilities, Feature

ENDPOINTS = frozenset(Endpoint)
MOST_STOPS = 4

_NEVER = frozenset({Feature.TOP_K})
_SAMPLES = frozenset({Feature.SAMPLING, Feature.LOGPROBS, Feature.PENALTIES, Feature.LOGIT_BIAS})
_ELSEWHERE = frozenset({Feature.AUDIO, Feature.WEB_SEARCH})  # models of their own have them
_SHORT_SIGHTED = frozenset({Feature.IMAGES, Feature.FILES, Feature.JSON_SCHEMA, Feature.PREDICTION})

LACKS: Mapping[str, frozenset[Feature]] = {
    "": frozenset(),
    "gpt-3.5": _ELSEWHERE | _SHORT_SIGHTED | {Feature.REASONING},
    "gpt-35": _ELSEWHERE | _SHORT_SIGHTED | {Feature.REASONING},  # as Azure writes it
    "gpt-4": _ELSEWHERE | {Feature.REASONING},
    "gpt-4o-audio": frozenset({Feature.REASONING, Feature.WEB_SEARCH}),
    "gpt-4o-mini-audio": frozenset({Feature.REASONING, Feature.WEB_SEARCH}),
    "gpt-4o-search": frozenset({Feature.REASONING, Feature.AUDIO}),
    "gpt-4o-mini-search": frozenset({Feature.REASONING, Feature.AUDIO}),
    "chatgpt-4o": _ELSEWHERE | {Feature.REASONING},
    "o1": _ELSEWHERE | _SAMPLES | {Feature.PREDICTION, Feature.PARALLEL_TOOL_CALLS},
    "o3": _ELSEWHERE | _SAMPLES | {Feature.PREDICTION, Feature.PARALLEL_TOOL_CALLS, Feature.STOP},
    "o4": _ELSEWHERE | _SAMPLES | {Feature.PREDICTION, Feature.PARALLEL_TOOL_CALLS, Feature.STOP},
    "gpt-5": _ELSEWHERE | _SAMPLES | {Feature.PREDICTION, Feature.STOP},
    "gpt-5-chat": _ELSEWHERE | {Feature.REASONING},
    "gpt-5-search": frozenset({Feature.AUDIO}),
    "gpt-5.": _ELSEWHERE,
    "gpt-6": frozenset({Feature.AUDIO}),
}
"""The longest beginning that fits a name says what the model lacks; "" is for names that nobody knows: an alias, a model of tomorrow."""

WITHOUT_EFFORT = ("gpt-5.", "gpt-6")
"""These sample while their effort is `none`, which is the default of some: refused only where the caller asks for another effort."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Known:
    capabilities: Capabilities
    samples_without_effort: bool
    is_reasoning: bool


_known: dict[str, _Known] = {}


def capabilities_of(model: str) -> Capabilities:
    """What a model can do."""
    return _look_up(model).capabilities


def lacks_for(model: str, body: Mapping[str, Any]) -> Capabilities:
    """What a model can do in this chat: an effort takes the sampling from those that have both."""
    known = _look_up(model)
    if known.samples_without_effort and body.get("reasoning_effort") not in {None, "none"}:
        return dataclasses.replace(known.capabilities, features=known.capabilities.features - {Feature.SAMPLING, Feature.LOGPROBS})
    return known.capabilities


def as_judged(model: str, request: Request) -> Mapping[str, Any]:
    """The body without what a reasoning model takes because it is its default: a `temperature` and a `top_p` of 1."""
    body = request.body
    if not _look_up(model).is_reasoning or (body.get("temperature") != 1 and body.get("top_p") != 1):
        return body
    return {name: value for name, value in body.items() if name not in {"temperature", "top_p"} or value != 1}


def _look_up(model: str) -> _Known:
    found = _known.get(model)
    if found is None:
        if len(_known) >= 1_000:
            _known.clear()
        found = _known[model] = _judge(model.removeprefix("ft:").rpartition("/")[2])
    return found


def _judge(name: str) -> _Known:
    beginning = max((one for one in LACKS if name.startswith(one)), key=len)
    lacks = LACKS[beginning] | _NEVER
    with_effort = beginning in WITHOUT_EFFORT and "-chat" not in name
    capabilities = Capabilities(ENDPOINTS, EVERYTHING - lacks, most_stops=MOST_STOPS)
    return _Known(capabilities, with_effort, with_effort or Feature.SAMPLING in lacks)
