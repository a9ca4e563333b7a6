"""What each provider's own token limits count when a request comes in, as data: to know it, no adapter has to be loaded.

A preset has its own, in compatible/presets.toml. Sources: the providers' pages on rate limits. Not documented, and taken the careful way:
whether OpenAI and Azure count what was read from the cache, and whether OpenAI gives back what was counted too much.
"""

from __future__ import annotations

from collections.abc import Mapping

from rateguard.engine.providers.capabilities import Admission

ADMISSIONS: Mapping[str, Admission] = {
    "openai": Admission(),  # max(max_tokens, estimate) when it comes in; the estimate stays
    "azure": Admission(),  # the prompt and max_tokens; never corrected
    "sim": Admission(),
    "anthropic": Admission(counts_max_tokens=False, counts_cached=False, gives_back=True),
    "bedrock": Admission(counts_cached=False, gives_back=True),  # reserved when it comes in, released at the end; burndown by model
    "gemini": Admission(counts_max_tokens=False, counts_output=False),
    "vertex": Admission(counts_max_tokens=False, counts_output=False),  # newer models have a shared pool and no limit of ours
    "litellm": Admission(),
}
