"""What a request's input counts, by Gemini's own tokenizer: countTokens. It costs nothing and has a limit of its own."""

from __future__ import annotations

from typing import Any

import orjson

from rateguard.engine.providers.base import Request, Target, Wire
from rateguard.engine.providers.gemini.request import headers_for, model_path, url_of, write_body
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.malformed import malformed_answer, parse_object


def write_count(target: Target, request: Request) -> Wire:
    """The question, at the Gemini API: the whole request, under its model's path."""
    question = {"generateContentRequest": {"model": model_path(target), **write_body(target, request)}}
    return Wire(url_of(target, "countTokens"), headers_for(target), orjson.dumps(question))


def counted_part(body: dict[str, Any]) -> dict[str, Any]:
    """The question, at Vertex: of a body, what countTokens there takes."""
    return {name: body[name] for name in ("contents", "systemInstruction", "tools", "generationConfig") if name in body}


def read_count(reply: Reply) -> int:
    """Its answer: tokens of input, with what the cache holds. Raises ProviderError (SERVER) where it is none."""
    told = parse_object(reply.body).get("totalTokens")
    if not isinstance(told, int):
        raise malformed_answer("the answer has no totalTokens")
    return told
