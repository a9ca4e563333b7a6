"""What a request in OpenAI's shape asks for, and whether a provider has it: judged before anything is sent, never dropped in silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rateguard.engine.errors import InvalidRequest, together
from rateguard.engine.providers.base import Endpoint
from rateguard.engine.providers.capabilities import Capabilities, Feature

UNSUPPORTED = "unsupported_by_provider"
"""The code of the refusal."""

_Body = Mapping[str, Any]

_BY_FIELD: Mapping[str, tuple[Feature, Callable[[Any], bool]]] = {
    "tools": (Feature.TOOLS, bool),
    "functions": (Feature.TOOLS, bool),
    "tool_choice": (Feature.FORCED_TOOL, lambda value: value == "required" or isinstance(value, Mapping)),
    "parallel_tool_calls": (Feature.PARALLEL_TOOL_CALLS, lambda value: value is False),
    "reasoning_effort": (Feature.REASONING, lambda value: value not in (None, "none")),
    "temperature": (Feature.SAMPLING, lambda value: value is not None),
    "top_p": (Feature.SAMPLING, lambda value: value is not None),
    "top_k": (Feature.TOP_K, lambda value: value is not None),
    "frequency_penalty": (Feature.PENALTIES, bool),
    "presence_penalty": (Feature.PENALTIES, bool),
    "logit_bias": (Feature.LOGIT_BIAS, bool),
    "logprobs": (Feature.LOGPROBS, bool),
    "seed": (Feature.SEED, lambda value: value is not None),
    "stop": (Feature.STOP, bool),
    "n": (Feature.SEVERAL_CHOICES, lambda value: value is not None and value != 1),
    "prediction": (Feature.PREDICTION, bool),
    "web_search_options": (Feature.WEB_SEARCH, lambda value: value is not None),
    "service_tier": (Feature.SERVICE_TIER, lambda value: value not in (None, "auto", "default")),
    "audio": (Feature.AUDIO, bool),
}
"""The field that asks, for what, and by which of its values."""

_BY_FORMAT = {"json_object": Feature.JSON_MODE, "json_schema": Feature.JSON_SCHEMA}
_BY_PART = {"image_url": Feature.IMAGES, "input_audio": Feature.AUDIO, "file": Feature.FILES}


def asked_for(body: _Body) -> dict[Feature, str]:
    """What a chat asks for, with the JSON pointer of the first place that asks."""
    found: dict[Feature, str] = {}
    for field, value in body.items():
        rule = _BY_FIELD.get(field)
        if rule is not None and rule[1](value):
            found.setdefault(rule[0], f"/{field}")
    answer_format = body.get("response_format")
    if isinstance(answer_format, Mapping) and (wanted := _BY_FORMAT.get(str(answer_format.get("type")))):
        found.setdefault(wanted, "/response_format")
    told = body.get("messages")
    messages = told if isinstance(told, list) else ()
    for number, message in enumerate(messages):
        for feature, pointer in _in_message(message, f"/messages/{number}"):
            found.setdefault(feature, pointer)
    if messages and isinstance(messages[-1], Mapping) and messages[-1].get("role") == "assistant":
        found[Feature.PREFILL] = f"/messages/{len(messages) - 1}"
    return found


def _in_message(message: Any, pointer: str) -> list[tuple[Feature, str]]:
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list):
        return []
    parts = [(str(part.get("type")), number) for number, part in enumerate(content) if isinstance(part, Mapping)]
    return [(_BY_PART[kind], f"{pointer}/content/{number}") for kind, number in parts if kind in _BY_PART]


def check(provider: str, capabilities: Capabilities, endpoint: Endpoint, body: _Body) -> None:
    """Refuse what a provider cannot do. Raises InvalidRequest (`unsupported_by_provider`) that names each field."""
    if endpoint not in capabilities.endpoints:
        spoken = ", ".join(sorted(capabilities.endpoints))
        raise InvalidRequest(f"{provider} has no {endpoint}; it has {spoken}", code=UNSUPPORTED)
    if endpoint is not Endpoint.CHAT:
        return
    asked = asked_for(body)
    lacking = sorted(asked.keys() - capabilities.features)
    refusals = [InvalidRequest(f"{provider} has no {_in_words(one)}", code=UNSUPPORTED, pointer=asked[one]) for one in lacking]
    stops = body.get("stop")
    if capabilities.most_stops is not None and isinstance(stops, list) and len(stops) > capabilities.most_stops:
        refusals.append(
            InvalidRequest(f"{provider} takes at most {capabilities.most_stops} stop sequences", code=UNSUPPORTED, pointer="/stop")
        )
    if refusals:
        raise together(refusals)


def _in_words(feature: Feature) -> str:
    return feature.value.replace("_", " ")
