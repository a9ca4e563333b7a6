"""In what the speakers of OpenAI's dialect differ, as a value: what request.py, answer.py, stream.py and errors.py read.

OpenAI's own are the defaults. Those of others stand in compatible/presets.toml.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rateguard.engine.errors import ErrorKind
from rateguard.engine.providers.base import Endpoint
from rateguard.engine.providers.openai.limits import OPENAI_LIMITS, LimitHeaders

PATHS: Mapping[Endpoint, str] = MappingProxyType(
    {Endpoint.CHAT: "/chat/completions", Endpoint.EMBEDDINGS: "/embeddings", Endpoint.RESPONSES: "/responses"}
)
FINISH_WORDS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
"""OpenAI's own; whatever else a provider says becomes one of them."""
TIERS: Mapping[str, str] = MappingProxyType({"priority": "priority", "fast": "priority", "flex": "flex", "batch": "batch"})
"""The tier that an answer names → that of the price list. Every other word is the standard tier."""


@dataclasses.dataclass(frozen=True, slots=True)
class Quirks:
    """How one provider speaks OpenAI's dialect.

    Requests:
    key_header, key_prefix: how the key is sent. paths: of each endpoint, behind the base URL. headers, extra: sent with every request and
    within every chat. max_tokens_field: its name there. renamed: OpenAI's field → theirs. refused: fields that they do not take.
    asks_usage: streams are asked for their usage. asks_no_padding: they are asked to leave out the padding of chunks (`obfuscation`).
    passes_cache_control: Anthropic's `cache_control` is understood. passes_reasoning: `reasoning_content` of earlier messages is taken.
    most_inputs: texts of one embeddings request; None: no bound is known. dimensions_of: prefixes of the models that take `dimensions`,
    () for all.

    Answers:
    finish: their stop words → OpenAI's. broken: stop words of an answer that broke off. tiers: see TIERS. rewrites_usage: their usage is
    told in OpenAI's words. reasoning_field: their name of `reasoning_content`, "" where it is that. parts: content comes in parts.
    cached_header: an answer's header that says how much of the input came from the cache.
    kinds_by_status: statuses that mean something of their own. kinds_by_word: codes and types likewise. limits: their limit headers.
    """

    key_header: str = "Authorization"
    key_prefix: str = "Bearer "
    paths: Mapping[Endpoint, str] = dataclasses.field(default_factory=lambda: PATHS)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    max_tokens_field: str = "max_completion_tokens"
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    asks_usage: bool = True
    asks_no_padding: bool = True
    passes_cache_control: bool = False
    passes_reasoning: bool = False
    most_inputs: int | None = 2_048
    dimensions_of: tuple[str, ...] = ()
    finish: Mapping[str, str] = dataclasses.field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    tiers: Mapping[str, str] = dataclasses.field(default_factory=lambda: TIERS)
    rewrites_usage: bool = False
    reasoning_field: str = ""
    parts: bool = False
    cached_header: str = ""
    kinds_by_status: Mapping[int, ErrorKind] = dataclasses.field(default_factory=dict)
    kinds_by_word: Mapping[str, ErrorKind] = dataclasses.field(default_factory=dict)
    limits: LimitHeaders = OPENAI_LIMITS

    @property
    def rewrites_messages(self) -> bool:
        """Whether a message may have to be said in OpenAI's words."""
        return bool(self.reasoning_field) or self.parts

    def finish_word(self, raw: str) -> str:
        """OpenAI's word for a stop word; one that nobody knows is `stop`, since providers add them without notice."""
        if raw in FINISH_WORDS:
            return raw
        return self.finish.get(raw) or self.finish.get(raw.lower(), "stop")

    def tier(self, told: object) -> str:
        """The price list's tier for the one that an answer names."""
        return self.tiers.get(told, "") if isinstance(told, str) else ""


OPENAI = Quirks(dimensions_of=("text-embedding-3",))
"""OpenAI itself. Source: OpenAI's API reference."""
