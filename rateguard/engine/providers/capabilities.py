"""What a provider can do, and what it counts when a request comes in: declared as data, never probed."""

from __future__ import annotations

import dataclasses
import enum

from rateguard.engine.providers.base import Endpoint


class Feature(enum.StrEnum):
    """What a chat may ask for that not every provider or model has."""

    TOOLS = "tools"
    FORCED_TOOL = "forced_tool"  # tool_choice "required", or a function by its name
    PARALLEL_TOOL_CALLS = "parallel_tool_calls"
    IMAGES = "images"
    AUDIO = "audio"
    FILES = "files"
    JSON_MODE = "json_mode"
    JSON_SCHEMA = "json_schema"
    REASONING = "reasoning"
    SAMPLING = "sampling"  # temperature, top_p
    TOP_K = "top_k"
    PENALTIES = "penalties"  # frequency_penalty, presence_penalty
    LOGIT_BIAS = "logit_bias"
    LOGPROBS = "logprobs"
    SEED = "seed"
    STOP = "stop"
    SEVERAL_CHOICES = "several_choices"  # n > 1
    PREDICTION = "prediction"
    PREFILL = "prefill"  # the last message is the assistant's
    WEB_SEARCH = "web_search"
    SERVICE_TIER = "service_tier"


EVERYTHING = frozenset(Feature)


@dataclasses.dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do. most_stops: stop sequences of one request; None: no bound is known."""

    endpoints: frozenset[Endpoint] = frozenset({Endpoint.CHAT, Endpoint.EMBEDDINGS})
    features: frozenset[Feature] = EVERYTHING
    streaming: bool = True
    most_stops: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Admission:
    """What a provider's own token limits count. Sources: the providers' pages on rate limits; what is unverified says so in its folder.

    counts_max_tokens: max_tokens counts when the request comes in. counts_output: output counts as it is produced (with counts_max_tokens:
    what was reserved settles to it, or stays where gives_back is False). counts_cached: tokens read from the cache count.
    gives_back: what was counted too much comes back at the end. output_permille: what a token of output counts in the end (Bedrock's
    burndown: 5000 is five tokens).
    """

    counts_max_tokens: bool = True
    counts_output: bool = True
    counts_cached: bool = True
    gives_back: bool = False
    output_permille: int = 1000
