"""Whoever speaks OpenAI's dialect, as its preset says."""

from __future__ import annotations

from typing import ClassVar

from rateguard.engine.providers import features
from rateguard.engine.providers.base import Endpoint, Request, Target
from rateguard.engine.providers.capabilities import Capabilities
from rateguard.engine.providers.compatible.presets import Preset
from rateguard.engine.providers.openai.adapter import OpenAIProvider
from rateguard.engine.providers.openai.embeddings import check_embeddings
from rateguard.engine.providers.openai.request import check_fields


class CompatibleProvider(OpenAIProvider):
    """A class of its own for each preset: see `speaking`."""

    preset: ClassVar[Preset]

    def capabilities_of(self, target: Target) -> Capabilities:
        """The preset's, less what the model lacks by the beginning of its name."""
        lacking = [lacks for beginning, lacks in self.preset.lacks_by_model if target.upstream_model.startswith(beginning)]
        if not lacking:
            return self.capabilities
        whole = self.capabilities
        return Capabilities(whole.endpoints, whole.features.difference(*lacking), whole.streaming, whole.most_stops)

    def check(self, target: Target, request: Request) -> None:
        """Refuse what the provider cannot do. Raises InvalidRequest (`unsupported_by_provider`)."""
        features.check(self.name, self.capabilities_of(target), request.endpoint, request.body)
        if request.endpoint is Endpoint.EMBEDDINGS:
            check_embeddings(self.name, self.quirks, target.upstream_model, request.body)
        check_fields(self.name, self.quirks, request)


def speaking(preset: Preset) -> type[CompatibleProvider]:
    """The class of a preset's provider."""
    members = {
        "name": preset.name,
        "preset": preset,
        "quirks": preset.quirks,
        "capabilities": preset.capabilities,
        "admission": preset.admission,
        "__doc__": f"{preset.name}, by its preset.",
    }
    return type(f"CompatibleProvider_{preset.name}", (CompatibleProvider,), members)
