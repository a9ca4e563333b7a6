"""Embeddings: batchEmbedContents, and what comes back in OpenAI's shape.

Up to 100 texts a call (not verified). Gemini cuts a text that is too long in silence; nothing in its request forbids that. The answer may
say no usage: then the texts are counted here.
"""

from __future__ import annotations

import array
import base64
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Answer, Request, Target
from rateguard.engine.providers.counted import count
from rateguard.engine.providers.gemini.refusals import invalid, unsupported
from rateguard.engine.providers.gemini.usage import parse_usage
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.malformed import malformed_answer, parse_object

_KNOWN = frozenset({"model", "input", "dimensions", "encoding_format", "user"})


def write_batch(target: Target, body: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The body of batchEmbedContents. path: `models/…`, which each of its requests names."""
    config = {"taskType": target.options.get("task_type"), "outputDimensionality": body.get("dimensions")}
    said = {name: value for name, value in config.items() if value is not None}
    return {"requests": [{"model": path, "content": content_of(text), **said} for text in texts_of(body)]}


def content_of(text: str) -> dict[str, Any]:
    """A text as Gemini's content."""
    return {"parts": [{"text": text}]}


def texts_of(body: Mapping[str, Any]) -> list[str]:
    """The texts of a request. Raises InvalidRequest for tokens, whose numbers mean nothing to Gemini, and for fields that it lacks."""
    for name, value in body.items():
        if name not in _KNOWN and value is not None:
            raise unsupported(f"gemini's embeddings have no {name}", f"/{name}")
    if str(body.get("encoding_format") or "float") not in {"float", "base64"}:
        raise unsupported("an embedding comes as float or base64", "/encoding_format")
    asked = body.get("input")
    if isinstance(asked, str):
        return [asked]
    if not isinstance(asked, list) or not asked:
        raise invalid("input is a text or a list of texts", "/input")
    for number, text in enumerate(asked):
        if not isinstance(text, str):
            raise unsupported("gemini embeds texts, not tokens", f"/input/{number}")
    return asked


def read_embeddings(target: Target, request: Request, reply: Reply) -> Answer:
    """What batchEmbedContents, embedContent or predict answered. Raises ProviderError (SERVER) for a shape that is none of theirs."""
    answer = parse_object(reply.body)
    try:
        return _read(target, request, answer)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise malformed_answer("it has another shape than Gemini's embeddings") from None


def _read(target: Target, request: Request, answer: Mapping[str, Any]) -> Answer:
    """Each of the three puts its numbers elsewhere."""
    if answer.get("predictions"):
        stated = [prediction.get("embeddings") or {} for prediction in answer["predictions"]]
    else:
        stated = answer.get("embeddings") or [answer.get("embedding") or {}]
    vectors = [one["values"] for one in stated if one.get("values")]
    if not vectors or len(vectors) != len(stated):
        raise malformed_answer("the answer has no embeddings")
    usage = _usage(answer, stated)
    is_packed = request.body.get("encoding_format") == "base64"
    body: dict[str, Any] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if is_packed else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": target.upstream_model,
    }
    if usage:
        body["usage"] = {"prompt_tokens": usage.all_input_tokens, "total_tokens": usage.all_input_tokens}
    return Answer(orjson.dumps(body), usage, "stop")


def _usage(answer: Mapping[str, Any], stated: Sequence[Mapping[str, Any]]) -> Usage | None:
    told = answer.get("usageMetadata")
    if told:
        return parse_usage(told)
    tokens = sum(count(one.get("statistics") or {}, "token_count") for one in stated)
    return Usage(input_tokens=tokens) if tokens else None


def _packed(vector: Iterable[float]) -> str:
    """Little-endian float32 in base64, as OpenAI's clients ask for."""
    numbers = array.array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
