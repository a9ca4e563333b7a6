"""A whole message of Anthropic's, as a chat completion."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from rateguard.engine.providers.anthropic.blocks import finish_of, message_of, text_of
from rateguard.engine.providers.anthropic.errors import error_in_answer
from rateguard.engine.providers.anthropic.usage import parse_usage, tier_in_openais_words
from rateguard.engine.providers.base import Answer
from rateguard.engine.providers.counted import in_openais_words
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.malformed import malformed_answer, parse_object


def read(reply: Reply, api_key: str) -> Answer:
    """What it says. Raises ProviderError where it is no message, or an error with status 200."""
    message = parse_object(reply.body)
    if message.get("type") == "error" or message.get("error"):
        raise error_in_answer(message, reply.headers, api_key)
    content = message.get("content")
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise malformed_answer("the answer has no content")
    try:
        return completed(message, content, created=int(time.time()))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise malformed_answer("a block of the answer lacks what it should have") from None


def completed(message: Mapping[str, Any], content: Sequence[Mapping[str, Any]], *, created: int) -> Answer:
    """The chat completion of a message's head (id, model, stop_reason, usage) and its blocks.

    created: epoch seconds; Anthropic tells none.
    """
    finish, usage = finish_of(message.get("stop_reason"), content), message.get("usage")
    body: dict[str, Any] = {
        "id": message.get("id"),
        "object": "chat.completion",
        "created": created,
        "model": message.get("model"),
        "choices": [
            {
                "index": 0,
                "message": message_of(content, message.get("stop_details")),
                "logprobs": None,
                "finish_reason": finish,
                "native_finish_reason": message.get("stop_reason"),
            }
        ],
    }
    if not isinstance(usage, Mapping) or not usage:
        return Answer(orjson.dumps(body), None, finish, text_of(content))
    parsed = parse_usage(usage)
    body["usage"] = in_openais_words(parsed)
    if tier := tier_in_openais_words(usage):
        body["service_tier"] = tier
    return Answer(orjson.dumps(body), parsed, finish, text_of(content))
