"""A whole answer of OpenAI's dialect: a chat completion or embeddings, handed on byte by byte where it is in OpenAI's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.providers.base import Answer, Endpoint
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.malformed import malformed_answer, parse_object
from rateguard.engine.providers.openai.errors import error_in_answer
from rateguard.engine.providers.openai.fitting import fit_choices, fit_usage
from rateguard.engine.providers.openai.quirks import OPENAI, Quirks
from rateguard.engine.providers.openai.usage import parse_usage


def read(reply: Reply, endpoint: Endpoint, api_key: str, quirks: Quirks = OPENAI) -> Answer:
    """What it says. Raises ProviderError where it is no answer, or an error with status 200."""
    answer = parse_object(reply.body)
    if answer.get("error"):
        raise error_in_answer(answer["error"], reply.headers, api_key, quirks)
    expected = "choices" if endpoint is Endpoint.CHAT else "data"
    if not isinstance(answer.get(expected), list) or not answer[expected]:
        raise malformed_answer(f"the answer has no {expected}")
    has_changed = endpoint is Endpoint.CHAT and fit_choices(answer["choices"], "message", quirks)
    has_changed |= _add_cached(answer, reply.headers, quirks) | fit_usage(answer, quirks)
    body = orjson.dumps(answer) if has_changed else reply.body
    usage = answer.get("usage")
    if not usage:
        return Answer(body, None, _finish_reason(answer), _visible_text(answer))
    tier = quirks.tier(answer.get("service_tier") or usage.get("service_tier"))
    return Answer(body, parse_usage(usage, tier), _finish_reason(answer))


def _add_cached(answer: dict[str, Any], headers: Mapping[str, str], quirks: Quirks) -> bool:
    """How much of the input came from the cache, where a header alone says so."""
    told = headers.get(quirks.cached_header, "") if quirks.cached_header else ""
    usage = answer.get("usage")
    if not usage or not told.isdecimal() or (usage.get("prompt_tokens_details") or {}).get("cached_tokens"):
        return False
    usage["prompt_tokens_details"] = {**(usage.get("prompt_tokens_details") or {}), "cached_tokens": int(told)}
    return True


def _finish_reason(answer: Mapping[str, Any]) -> str:
    """The first choice's finish reason; an embedding has none and just stops."""
    choices = answer.get("choices")
    return str(choices[0].get("finish_reason") or "stop") if choices else "stop"


def _visible_text(answer: Mapping[str, Any]) -> str:
    return "".join(str((choice.get("message") or {}).get("content") or "") for choice in answer.get("choices") or ())
