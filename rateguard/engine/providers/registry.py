"""Finds a provider by its name. An adapter's module is imported when its provider is first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import cast

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.provider import Provider

PROVIDERS: Mapping[str, str] = {
    "openai": "rateguard.engine.providers.openai.adapter.OpenAIProvider",
    "sim": "rateguard.engine.providers.sim.adapter.SimProvider",
}
"""Name → dotted path of a class that is made with an HttpClient."""


class ProviderRegistry:
    """The providers of one event loop, sharing its HTTP client."""

    def __init__(self, http: HttpClient, providers: Mapping[str, str] = PROVIDERS) -> None:
        self._http = http
        self._paths = providers
        self._made: dict[str, Provider] = {}

    def get(self, name: str) -> Provider:
        """The provider of that name. Raises ConfigurationError for a name that none has."""
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Provider:
        path = self._paths.get(name)
        if path is None:
            raise ConfigurationError(
                f"there is no provider {name!r}; a provider account's provider is one of {', '.join(sorted(self._paths))}"
            )
        module_name, _, class_name = path.rpartition(".")
        provider_class = getattr(importlib.import_module(module_name), class_name)
        return cast("Provider", provider_class(self._http))
