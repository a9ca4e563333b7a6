"""A chat as a request to generateContent: where it goes, and its body. Every field is translated, refused, or known to have no meaning."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from rateguard.engine.providers.base import Endpoint, Request, Target, Wire
from rateguard.engine.providers.gemini.contents import Contents
from rateguard.engine.providers.gemini.embeddings import write_batch
from rateguard.engine.providers.gemini.generation import generation_config
from rateguard.engine.providers.gemini.refusals import unsupported
from rateguard.engine.providers.gemini.thinking import generation
from rateguard.engine.providers.gemini.tools import tool_config, tools_of

DEFAULT_VERSION = "v1"
"""Of the Gemini API, as google-genai 3 calls it; `v1beta` (option `api_version`) has what is in preview."""

_TRANSLATED = frozenset(
    {
        *("messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "seed", "n", "stop"),
        *("presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "response_format", "reasoning_effort", "modalities"),
        *("tools", "tool_choice", "web_search_options", "service_tier"),
    }
)
_OF_THE_CALLER = frozenset({"model", "stream", "stream_options", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"})
"""Who asks, and where OpenAI looks for its cache: they change no answer, and Gemini has no place for them."""
_SAYS_NOTHING: Mapping[str, Callable[[Any], bool]] = {
    "parallel_tool_calls": lambda value: value is True,
    "store": lambda value: value is False,
    "metadata": lambda value: value == {},
    "logit_bias": lambda value: value == {},
    "verbosity": lambda value: value == "medium",
}
"""Fields that Gemini lacks, and the values of theirs that ask for nothing."""
_INSTEAD = {"functions": "tools", "function_call": "tool_choice"}

TIERS = ("flex", "priority", "standard")


def write(target: Target, request: Request, *, is_streamed: bool) -> Wire:
    """The request as the Gemini API takes it."""
    if request.endpoint is Endpoint.EMBEDDINGS:
        body = write_batch(target, request.body, model_path(target))
        return Wire(url_of(target, "batchEmbedContents"), headers_for(target), orjson.dumps(body))
    return wire_of(url_of(target, verb(is_streamed)), headers_for(target), write_body(target, request), is_streamed=is_streamed)


def wire_of(url: str, headers: dict[str, str], body: Mapping[str, Any], *, is_streamed: bool) -> Wire:
    """A chat's request, with what a stream needs: events, and no compression that would hold them back."""
    if is_streamed:
        headers |= {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
    return Wire(url, headers, orjson.dumps(body))


def verb(is_streamed: bool) -> str:
    """What is asked of the model. Without `alt=sse` a stream is one JSON array that grows."""
    return "streamGenerateContent?alt=sse" if is_streamed else "generateContent"


def write_body(target: Target, request: Request) -> dict[str, Any]:
    """The body of generateContent. Raises InvalidRequest for what cannot be translated."""
    asked = {name: value for name, value in request.body.items() if value is not None}
    _refuse_unknown(asked)
    chat = Contents(asked.get("messages") or [], wants_signatures=generation(target) >= 30)
    body: dict[str, Any] = {"contents": chat.contents}
    if chat.system:
        body["systemInstruction"] = {"parts": chat.system}
    if config := generation_config(asked, target):
        body["generationConfig"] = config
    if tools := tools_of(asked):
        body["tools"] = tools
    if choice := tool_config(asked):
        body["toolConfig"] = choice
    if tier := tier_of(asked):
        body["serviceTier"] = tier
    if settings := target.options.get("safety_settings"):
        body["safetySettings"] = settings
    return body


def tier_of(body: Mapping[str, Any]) -> str:
    """The tier that a body asks for, in Gemini's words; "" where it leaves that open."""
    asked = str(body.get("service_tier") or "auto")
    if asked in {"auto", "default"}:
        return ""
    if asked not in TIERS:
        raise unsupported(f"gemini has no service tier {asked!r}: it has {', '.join(TIERS)}", "/service_tier")
    return asked


def url_of(target: Target, what: str) -> str:
    """Where something is asked of the model."""
    return f"{base_of(target)}/{model_path(target)}:{what}"


def base_of(target: Target) -> str:
    """The account's base URL with the API's version; one that ends in a version keeps it."""
    return versioned(target.base_url.rstrip("/"), str(target.options.get("api_version") or DEFAULT_VERSION))


def versioned(base: str, version: str) -> str:
    """A base URL that ends in a version: its own, or this one."""
    return base if base.rpartition("/")[2].startswith("v1") else f"{base}/{version}"


def model_path(target: Target) -> str:
    """`models/…`, unless the name says itself where it lies (`tunedModels/…`)."""
    model = urllib.parse.quote(target.upstream_model, safe="/@:-._")
    return model if "/" in model else f"models/{model}"


def headers_for(target: Target) -> dict[str, str]:
    """Whose call it is. Gemini has no place for an id of ours."""
    return {
        "x-goog-api-key": target.api_key,
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": "rateguard",
    }


def _refuse_unknown(asked: Mapping[str, Any]) -> None:
    for name, value in asked.items():
        if name in _TRANSLATED or name in _OF_THE_CALLER or (name in _SAYS_NOTHING and _SAYS_NOTHING[name](value)):
            continue
        instead = f": use {_INSTEAD[name]}" if name in _INSTEAD else ""
        raise unsupported(f"gemini has no {name}{instead}", f"/{name}")
