"""Which provider keys `up` looks for in the environment, and what it makes of each: models, and limits until a person knows better.

Limits: OpenAI publishes none by model any more. 500 requests and 200,000 tokens a minute are the least that was seen of its lowest paid
tier (500 to 1,000 and 200,000 to 500,000 for a model of middle size, 2026).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Provider:
    """A provider with an adapter. name: of the adapter and of the account. limits: on each deployment, as people type them."""

    name: str
    title: str
    key_variable: str
    url_variable: str
    base_url: str
    models: tuple[str, ...]
    limits: tuple[str, ...]
    tier: str
    console: str


OPENAI = Provider(
    name="openai",
    title="OpenAI",
    key_variable="OPENAI_API_KEY",
    url_variable="OPENAI_BASE_URL",
    base_url="https://api.openai.com/v1",
    models=(
        "gpt-6-astra",
        "gpt-6.1-sol",
        "gpt-6.1-terra",
        "gpt-6-luna",
        "gpt-5.5",
        "gpt-5.4",
        "gpt-5.4-mini",
        "gpt-5.4-nano",
        "text-embedding-3-large",
        "text-embedding-3-small",
    ),
    limits=("500/min", "200k tokens/min"),
    tier="lowest paid tier",
    console="platform.openai.com/settings/organization/limits",
)

PROVIDERS = (OPENAI,)

NO_ADAPTER = {
    "ANTHROPIC_API_KEY": "Anthropic",
    "AZURE_OPENAI_API_KEY": "Azure OpenAI",
    "AWS_BEARER_TOKEN_BEDROCK": "Amazon Bedrock",
    "DEEPSEEK_API_KEY": "DeepSeek",
    "FIREWORKS_API_KEY": "Fireworks",
    "GEMINI_API_KEY": "Gemini",
    "GOOGLE_API_KEY": "Gemini",
    "GROQ_API_KEY": "Groq",
    "MISTRAL_API_KEY": "Mistral",
    "OPENROUTER_API_KEY": "OpenRouter",
    "TOGETHER_API_KEY": "Together",
    "XAI_API_KEY": "xAI",
}
"""Keys of providers that there is no adapter for: named, so that nobody waits for their models."""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A provider's key in the environment, and where it is to be used."""

    provider: Provider
    base_url: str
    key: str = dataclasses.field(repr=False)

    @property
    def is_custom(self) -> bool:
        """Whether it is to be used somewhere else than at the provider itself."""
        return self.base_url != self.provider.base_url


@dataclasses.dataclass(frozen=True, slots=True)
class Keys:
    """What the environment holds. unsupported: (variable, provider) of keys that nothing can be made of."""

    found: tuple[Found, ...]
    unsupported: tuple[tuple[str, str], ...]


def keys_in(environment: Mapping[str, str]) -> Keys:
    """The providers' keys in an environment.

    >>> keys_in({"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1/"}).found[0].base_url
    'http://127.0.0.1:1/v1'
    """
    found = []
    for provider in PROVIDERS:
        key = environment.get(provider.key_variable, "").strip()
        if key:
            found.append(Found(provider, (environment.get(provider.url_variable, "").strip() or provider.base_url).rstrip("/"), key))
    unsupported = tuple((name, title) for name, title in NO_ADAPTER.items() if environment.get(name, "").strip())
    return Keys(tuple(found), unsupported)
