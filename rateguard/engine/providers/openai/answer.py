"""A whole answer of OpenAI's: a chat completion or embeddings, handed on byte by byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.providers.base import Answer, Endpoint
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.malformed import malformed_answer, parse_object
from rateguard.engine.providers.openai.errors import error_in_answer
from rateguard.engine.providers.openai.usage import parse_usage


def read(reply: Reply, endpoint: Endpoint, api_key: str) -> Answer:
    """What it says. Raises ProviderError where it is no answer, or an error with status 200."""
    answer = parse_object(reply.body)
    if answer.get("error"):
        raise error_in_answer(answer["error"], reply.headers, api_key)
    expected = "choices" if endpoint is Endpoint.CHAT else "data"
    if not isinstance(answer.get(expected), list) or not answer[expected]:
        raise malformed_answer(f"the answer has no {expected}")
    usage = answer.get("usage")
    return Answer(reply.body, parse_usage(usage) if usage else None, _finish_reason(answer), "" if usage else _visible_text(answer))


def _finish_reason(answer: Mapping[str, Any]) -> str:
    """The first choice's finish reason; an embedding has none and just stops."""
    choices = answer.get("choices")
    return str(choices[0].get("finish_reason") or "stop") if choices else "stop"


def _visible_text(answer: Mapping[str, Any]) -> str:
    return "".join(str((choice.get("message") or {}).get("content") or "") for choice in answer.get("choices") or ())
