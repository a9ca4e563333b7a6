"""What each family of Claude models takes and refuses, as data.

Sources: Anthropic's pages on thinking, effort, structured outputs and prefill, and its migration guides for Opus 4.7, 5 and 5.5, Sonnet 5
and 5.5, Haiku 5.5 and Fable 5.1 (stored copies of autumn 2026), with the capability flags that litellm and pydantic-ai keep. Nothing here
was tried against the API. Conflicts: pydantic-ai keeps forced tools from Fable 5 and Mythos 5 too, Anthropic's page names the 5.1 models
alone. Not verified: forced tools at Haiku 5.5 and everything of Fable 5.2 and Mythos 5.2, taken to be as 5.1.
A model that the table does not know may do all: then the provider refuses what it cannot.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.base import Endpoint, Target
from rateguard.engine.providers.capabilities import Capabilities, Feature

FIRST_VERSION = "2023-06-01"
"""Sent where the account says nothing: it still takes sampling parameters from the models that have them."""
WITHOUT_SAMPLING = "2026-10-21"
"""From this version on, temperature, top_p and top_k are a 400 for every model, even at their default."""


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """One family.

    sampling: takes temperature, top_p, top_k. prefill: goes on from a last message of the assistant's. forced_tool: can be made to call a
    tool. structured: answers by a JSON schema, and has strict tools. thinking: how it is turned on: "adaptive", "enabled" (with a budget of
    tokens) or "" (it cannot think). off: how it is turned off, "" where it cannot be. thinks_unasked: it is on where nothing is said.
    efforts: the words of output_config.effort that it knows, from the least.
    """

    sampling: bool = True
    prefill: bool = True
    forced_tool: bool = True
    structured: bool = True
    thinking: str = "adaptive"
    off: str = "disabled"
    thinks_unasked: bool = False
    efforts: tuple[str, ...] = ()


_TO_HIGH = ("low", "medium", "high")
_WITHOUT_XHIGH = (*_TO_HIGH, "max")
_ALL_EFFORTS = (*_TO_HIGH, "xhigh", "max")

_OLD = Model(structured=False, thinking="")
_WITH_BUDGET = Model(structured=False, thinking="enabled")
_FOUR_FIVE = Model(thinking="enabled")
_FOUR_SIX = Model(prefill=False, efforts=_WITHOUT_XHIGH)
_FOUR_SEVEN = Model(sampling=False, prefill=False, efforts=_ALL_EFFORTS)
_FIVE = dataclasses.replace(_FOUR_SEVEN, thinks_unasked=True)
_ALWAYS = dataclasses.replace(_FIVE, off="")
_ALWAYS_UNFORCED = dataclasses.replace(_ALWAYS, forced_tool=False)
UNKNOWN = Model(efforts=_ALL_EFFORTS)

MODELS: Mapping[str, Model] = {
    "claude-2": _OLD,
    "claude-instant": _OLD,
    "claude-3": _OLD,
    "claude-3-7": _WITH_BUDGET,
    "claude-opus-4": _WITH_BUDGET,
    "claude-sonnet-4": _WITH_BUDGET,
    "claude-opus-4-1": _FOUR_FIVE,
    "claude-haiku-4-5": _FOUR_FIVE,
    "claude-sonnet-4-5": _FOUR_FIVE,
    "claude-opus-4-5": dataclasses.replace(_FOUR_FIVE, efforts=_TO_HIGH),
    "claude-opus-4-6": _FOUR_SIX,
    "claude-sonnet-4-6": _FOUR_SIX,
    "claude-opus-4-7": _FOUR_SEVEN,
    "claude-opus-4-8": _FOUR_SEVEN,
    "claude-opus-5": _FIVE,
    "claude-sonnet-5": _FIVE,
    "claude-haiku-5-5": _FIVE,
    "claude-sonnet-5-5": dataclasses.replace(_FIVE, off="between_tools", forced_tool=False),
    "claude-opus-5-5": _ALWAYS_UNFORCED,
    "claude-fable-5": _ALWAYS,
    "claude-mythos-5": _ALWAYS,
    "claude-fable-5-1": _ALWAYS_UNFORCED,
    "claude-fable-5-2": _ALWAYS_UNFORCED,
    "claude-mythos-5-1": _ALWAYS_UNFORCED,
    "claude-mythos-5-2": _ALWAYS_UNFORCED,
    "claude-mythos-preview": dataclasses.replace(_ALWAYS_UNFORCED, efforts=_WITHOUT_XHIGH),
}
"""By the beginning of its name; the longest that fits holds."""

_BY_LENGTH = sorted(MODELS, key=len, reverse=True)
_NEVER = frozenset(
    {
        Feature.AUDIO,
        Feature.PENALTIES,
        Feature.LOGIT_BIAS,
        Feature.LOGPROBS,
        Feature.SEED,
        Feature.SEVERAL_CHOICES,
        Feature.PREDICTION,
        Feature.SERVICE_TIER,  # flex and priority cannot be asked for; "standard_only" is let through by check.py
    }
)
_ALWAYS_THERE = frozenset(Feature) - _NEVER
_FIELDS = frozenset(field.name for field in dataclasses.fields(Model))


def version_of(target: Target) -> str:
    """The account's API version."""
    return str(target.options.get("api_version") or FIRST_VERSION)


def model_of(target: Target) -> Model:
    """What the deployment's model takes. Raises ConfigurationError for a capability that there is not."""
    model, _ = _resolve(target)
    return model


def capabilities_of(target: Target) -> Capabilities:
    """The same as features of a chat. Raises ConfigurationError for a capability that there is not."""
    _, capabilities = _resolve(target)
    return capabilities


def _resolve(target: Target) -> tuple[Model, Capabilities]:
    told = target.options.get("capabilities")
    known = _known(target.upstream_model, version_of(target))
    return _told(known, told) if told else known


@functools.lru_cache(maxsize=512)
def _known(name: str, version: str) -> tuple[Model, Capabilities]:
    start = name.find("claude-")
    family = name[start:] if start >= 0 else name
    model = next((MODELS[prefix] for prefix in _BY_LENGTH if family.startswith(prefix)), UNKNOWN)
    if version[:4].isdecimal() and version >= WITHOUT_SAMPLING:  # clouds that host Claude have versions of their own
        model = dataclasses.replace(model, sampling=False)
    return model, Capabilities(frozenset({Endpoint.CHAT}), _features_of(model))


def _features_of(model: Model) -> frozenset[Feature]:
    lacking = {
        Feature.SAMPLING: not model.sampling,
        Feature.TOP_K: not model.sampling,
        Feature.PREFILL: not model.prefill,
        Feature.FORCED_TOOL: not model.forced_tool,
        Feature.JSON_MODE: not model.forced_tool,
        Feature.JSON_SCHEMA: not (model.structured or model.forced_tool),
        Feature.REASONING: not model.thinking,
    }
    return _ALWAYS_THERE - {feature for feature, lacks in lacking.items() if lacks}


def _told(known: tuple[Model, Capabilities], told: Any) -> tuple[Model, Capabilities]:
    """What the table says, changed by the account's or the deployment's own words."""
    words = told if isinstance(told, Mapping) else {"": told}
    features = {feature.value for feature in Feature} - _FIELDS
    if unknown := sorted(str(word) for word in words if word not in _FIELDS | features):
        raise ConfigurationError(f"the option capabilities has no {', '.join(unknown)}; it has {', '.join(sorted(_FIELDS | features))}")
    fields: dict[str, Any] = {name: tuple(value) if name == "efforts" else value for name, value in words.items() if name in _FIELDS}
    model = dataclasses.replace(known[0], **fields)
    granted = {Feature(word) for word, value in words.items() if word in features and value}
    denied = {Feature(word) for word, value in words.items() if word in features and not value}
    return model, dataclasses.replace(known[1], features=(_features_of(model) | granted) - denied)
