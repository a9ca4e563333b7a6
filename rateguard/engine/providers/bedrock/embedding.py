"""Embeddings by InvokeModel, whose body is the model's own: Amazon's Titan and Cohere's Embed.

Titan takes one text a call: several are refused, for a job is one call. Cohere takes up to 96; its answer has no count of tokens, which
stands in a header (`x-amzn-bedrock-input-token-count`; not verified), else we count. Source: Bedrock's user guide, model parameters.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Answer, Request, Target, Wire
from rateguard.engine.providers.bedrock.endpoint import url_of
from rateguard.engine.providers.bedrock.models import base_id
from rateguard.engine.providers.bedrock.refusal import unsupported
from rateguard.engine.providers.http import Reply
from rateguard.engine.providers.malformed import malformed_answer, parse_object

MOST_TEXTS = 96
"""Of one call of Cohere's."""
_TITAN, _TITAN_V2, _COHERE, _COHERE_V4 = "amazon.titan-embed", "amazon.titan-embed-text-v2", "cohere.embed", "cohere.embed-v4"
_TRANSLATED = frozenset({"model", "input", "dimensions", "encoding_format", "input_type", "user", "stream"})
_TOKENS = "x-amzn-bedrock-input-token-count"


def can_embed(model_id: str) -> bool:
    """Whether the model makes embeddings, of which family we know the words."""
    return base_id(model_id).startswith((_TITAN, _COHERE))


def write(target: Target, request: Request) -> Wire:
    """The call in the model's own words. Raises InvalidRequest."""
    asked = request.body
    for field in sorted(asked.keys() - _TRANSLATED):
        if asked[field] is not None:
            raise unsupported(f"bedrock's embeddings have no word for {field!r}", f"/{field}")
    if asked.get("encoding_format") not in {None, "float", "base64"}:
        raise unsupported("encoding_format is float or base64", "/encoding_format")
    model, texts = _plain_id(target), _texts(asked.get("input"))
    body = _titan(model, texts, asked) if model.startswith(_TITAN) else _cohere(model, texts, asked, target.options)
    labels = {"attempt": request.attempt_id} | ({"user": str(asked["user"])} if asked.get("user") else {})
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": "rateguard",
        "X-Amzn-Bedrock-Request-Metadata": json.dumps(labels, separators=(",", ":")),  # ASCII, as a header must be
    }
    return Wire(url_of(target, "invoke"), headers, orjson.dumps(body), is_encoded=True)


def read(target: Target, request: Request, reply: Reply) -> Answer:
    """The vectors in OpenAI's shape. Raises ProviderError where there are none."""
    said = parse_object(reply.body)
    vectors = [said["embedding"]] if isinstance(said.get("embedding"), list) else _cohere_vectors(said.get("embeddings"))
    if not vectors or not all(isinstance(vector, list) for vector in vectors):
        raise malformed_answer("the answer has no embeddings")
    tokens = _tokens(said.get("inputTextTokenCount"), reply.headers)
    as_text = request.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if as_text else vector} for index, vector in enumerate(vectors)
    ]
    whole: dict[str, Any] = {"object": "list", "data": data, "model": target.upstream_model}
    if tokens is not None:
        whole["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Answer(orjson.dumps(whole), None if tokens is None else Usage(input_tokens=tokens), "stop")


def _plain_id(target: Target) -> str:
    return base_id(str(target.options.get("base_model") or target.upstream_model))


def _texts(said: Any) -> list[str]:
    texts = [said] if isinstance(said, str) else said
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise unsupported("bedrock embeds text: a string, or a list of strings", "/input")
    return texts


def _titan(model: str, texts: list[str], asked: Mapping[str, Any]) -> dict[str, Any]:
    if len(texts) > 1:
        raise unsupported("titan embeds one text a call: send each as a job of its own", "/input/1")
    body: dict[str, Any] = {"inputText": texts[0]}
    if asked.get("input_type") is not None:
        raise unsupported("titan has no input_type", "/input_type")
    if asked.get("dimensions") is not None:
        if not model.startswith(_TITAN_V2):
            raise unsupported("of titan's models only titan-embed-text-v2 has dimensions to choose", "/dimensions")
        body["dimensions"] = asked["dimensions"]
    return body


def _cohere(model: str, texts: list[str], asked: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """What is embedded is a document, unless the request's or the deployment's `input_type` says otherwise."""
    if len(texts) > MOST_TEXTS:
        raise InvalidRequest(f"bedrock embeds at most {MOST_TEXTS} texts a call", pointer="/input")
    body: dict[str, Any] = {
        "texts": texts,
        "input_type": asked.get("input_type") or options.get("input_type") or "search_document",
        "embedding_types": ["float"],
    }
    if options.get("truncate"):
        body["truncate"] = options["truncate"]
    if asked.get("dimensions") is not None:
        if not model.startswith(_COHERE_V4):
            raise unsupported("of cohere's models at bedrock only embed-v4 has dimensions to choose", "/dimensions")
        body["output_dimension"] = asked["dimensions"]
    return body


def _cohere_vectors(embeddings: Any) -> list[Any]:
    """A list of vectors, or such a list for each type that was asked for."""
    found = embeddings.get("float") if isinstance(embeddings, Mapping) else embeddings
    return found if isinstance(found, list) else []


def _tokens(in_body: Any, headers: Mapping[str, str]) -> int | None:
    if isinstance(in_body, int):
        return in_body
    in_header = headers.get(_TOKENS, "")
    return int(in_header) if in_header.isdecimal() else None


def _packed(vector: list[float]) -> str:
    """Little-endian float32, base64, as OpenAI packs it."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
