"""How rateguard calls the simulated provider: in OpenAI's dialect, at the simulator's address."""

from __future__ import annotations

from rateguard.engine.providers.openai.adapter import OpenAIProvider


class SimProvider(OpenAIProvider):
    """The simulated provider, which speaks OpenAI's dialect."""

    name = "sim"
