"""Finds a provider by its name. An adapter's module is imported when its provider is first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.admissions import ADMISSIONS
from rateguard.engine.providers.capabilities import Admission
from rateguard.engine.providers.compatible.presets import PRESETS, Preset
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.provider import Provider

FOLDERS: Mapping[str, str] = {
    "anthropic": "rateguard.engine.providers.anthropic.adapter.AnthropicProvider",
    "azure": "rateguard.engine.providers.azure.adapter.AzureProvider",
    "bedrock": "rateguard.engine.providers.bedrock.adapter.BedrockProvider",
    "gemini": "rateguard.engine.providers.gemini.adapter.GeminiProvider",
    "litellm": "rateguard.engine.providers.litellm.adapter.LiteLLMProvider",
    "openai": "rateguard.engine.providers.openai.adapter.OpenAIProvider",
    "sim": "rateguard.engine.providers.sim.adapter.SimProvider",
    "vertex": "rateguard.engine.providers.vertex.adapter.VertexProvider",
}
"""Name → dotted path of a class that is made with an HttpClient."""

PROVIDERS: Mapping[str, str | Preset] = {**FOLDERS, **PRESETS}
"""All that come along: a folder with an adapter each, or a preset of OpenAI's dialect."""


class ProviderRegistry:
    """The providers of one event loop, sharing its HTTP client."""

    def __init__(self, http: HttpClient, providers: Mapping[str, str | Preset] = PROVIDERS) -> None:
        self._http = http
        self._known = providers
        self._made: dict[str, Provider] = {}

    def get(self, name: str) -> Provider:
        """The provider of that name. Raises ConfigurationError for a name that none has."""
        if name not in self._made:
            self._made[name] = class_of(name, self._known)(self._http)
        return self._made[name]


def class_of(name: str, providers: Mapping[str, str | Preset] = PROVIDERS) -> type[Provider]:
    """The provider's class. Raises ConfigurationError for a name that none has, and for a path that leads to none."""
    known = providers.get(name)
    if known is None:
        raise ConfigurationError(f"there is no provider {name!r}; a provider account's provider is one of {', '.join(sorted(providers))}")
    if isinstance(known, str):
        return class_at(known)
    from rateguard.engine.providers.compatible.adapter import speaking  # noqa: PLC0415 - an adapter, loaded when it is asked for

    return speaking(known)


def class_at(path: str) -> type[Provider]:
    """The class of a provider that lies at a dotted path. Raises ConfigurationError where there is none."""
    module_name, _, class_name = path.rpartition(".")
    try:
        found: Any = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"the provider {path} cannot be imported: {error}") from error
    if not isinstance(found, type) or not issubclass(found, Provider):
        raise ConfigurationError(f"{path} is no class of providers: write one on rateguard.engine.providers.provider.Provider")
    return found


def admission_of(name: str, providers: Mapping[str, str | Preset] = PROVIDERS) -> Admission:
    """What a provider's own limits count when a request comes in; of those that come along without loading an adapter.

    Raises ConfigurationError for a name that none has.
    """
    known = providers.get(name)
    if isinstance(known, Preset):
        return known.admission
    return ADMISSIONS[name] if name in ADMISSIONS and known == FOLDERS.get(name) else class_of(name, providers).admission
