"""A chat in OpenAI's shape on Anthropic's wire.

Every field is sent, refused, or asks for nothing: there is no fourth kind. Some of Anthropic's own are taken as they are: top_k,
inference_geo, speed, cache_control, thinking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from rateguard.engine.providers.anthropic.messages import Talk
from rateguard.engine.providers.anthropic.models import Model, model_of, version_of
from rateguard.engine.providers.anthropic.refusals import malformed, unsupported
from rateguard.engine.providers.anthropic.thinking import check_together, write_thinking
from rateguard.engine.providers.anthropic.tools import write_tools
from rateguard.engine.providers.base import Request, Target, Wire

PATH = "/v1/messages"
FAST_MODE = "fast-mode-2026-02-01"
"""The beta that some models want wherever `speed` is said (Anthropic's page on the fast mode; not verified)."""

_WRITTEN_APART = frozenset(
    {
        *("model", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options"),
        *("tools", "functions", "function_call", "tool_choice", "parallel_tool_calls", "web_search_options", "response_format"),
        *("reasoning_effort", "thinking", "temperature", "top_p", "top_k", "stop", "service_tier", "user", "safety_identifier"),
    }
)
_AS_IT_IS = ("inference_geo", "speed", "cache_control")
_SAYS_NOTHING: Mapping[str, Callable[[Any], bool]] = {
    "n": lambda value: value == 1,
    "logprobs": lambda value: value is False,
    "store": lambda value: value is False,
    "frequency_penalty": lambda value: value == 0,
    "presence_penalty": lambda value: value == 0,
    "logit_bias": lambda value: value == {},
    "metadata": lambda value: value == {},
    "modalities": lambda value: value == ["text"],
    "verbosity": lambda value: value == "medium",
    "prompt_cache_key": lambda value: isinstance(value, str),  # where OpenAI looks for its cache: changes no answer
}
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}


def write(target: Target, request: Request, *, is_streamed: bool) -> Wire:
    """The request as Anthropic takes it. Raises InvalidRequest."""
    body = {"model": target.upstream_model, **write_body(target, request, is_streamed=is_streamed)}
    headers = headers_for(target, request)
    if is_streamed:
        headers |= {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
    return Wire(url_of(target) + PATH, headers, orjson.dumps(body))


def write_body(target: Target, request: Request, *, is_streamed: bool) -> dict[str, Any]:
    """The body of Messages without `model`: clouds that host Claude have that in the path, and the version in the body.

    Raises InvalidRequest.
    """
    body, model = request.body, model_of(target)
    max_tokens = _max_tokens(body)
    written = _prompt(body, model, max_tokens, target.options)
    written["max_tokens"] = max_tokens
    _add_settings(written, body)
    check_together(written)
    if written["messages"][-1]["role"] == "assistant":
        _check_prefill(written["messages"][-1])
    if is_streamed:
        written["stream"] = True
        if not isinstance(body.get("stream_options") or {}, Mapping):
            raise malformed("stream_options is an object", "/stream_options")
    return written


def write_counted(target: Target, request: Request) -> dict[str, Any]:
    """What of a request counts as input: the body of count_tokens, with `model`. Raises InvalidRequest."""
    model = model_of(target)
    written = _prompt(request.body, model, _max_tokens(request.body, needed=False), target.options)
    return {"model": target.upstream_model, **written}


def headers_for(target: Target, request: Request) -> dict[str, str]:
    """Whose call it is, in which version, and under which id we know it."""
    headers = {**key_headers(target), "Content-Type": "application/json", "X-Client-Request-Id": request.attempt_id}
    beta = target.options.get("beta") or []
    betas = [beta] if isinstance(beta, str) else [str(one) for one in beta]
    if request.body.get("speed") is not None and FAST_MODE not in betas:
        betas.append(FAST_MODE)
    if betas:
        headers["anthropic-beta"] = ",".join(betas)
    return headers


def key_headers(target: Target) -> dict[str, str]:
    """The key and the version. The API takes the key in either header; the option `auth` chooses."""
    key = {"Authorization": f"Bearer {target.api_key}"} if target.options.get("auth") == "bearer" else {"x-api-key": target.api_key}
    return {**key, "anthropic-version": version_of(target), "Accept": "application/json", "User-Agent": "rateguard"}


def url_of(target: Target) -> str:
    """The base URL as Anthropic's own clients have it, also where it was typed with /v1."""
    return target.base_url.rstrip("/").removesuffix("/v1")


def _prompt(body: Mapping[str, Any], model: Model, max_tokens: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the model reads, and how it is to think and answer."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise malformed("messages is a list", "/messages")
    talk = Talk(messages)
    written: dict[str, Any] = {"messages": talk.turns}
    if talk.system:
        written["system"] = talk.system
    tools, thinking = write_tools(body, model, list(talk.called)), write_thinking(body, model, max_tokens, options)
    output_config = {**tools.pop("output_config", {}), **thinking.pop("output_config", {})}
    written.update(tools)
    written.update(thinking)
    if output_config:
        written["output_config"] = output_config
    if body.get("cache_control") is not None:
        written["cache_control"] = body["cache_control"]
    return written


def _add_settings(written: dict[str, Any], body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        if value is not None and name not in _WRITTEN_APART:
            _add_other(written, name, value)
    _add_sampling(written, body)
    if body.get("stop"):
        written["stop_sequences"] = _stops(body["stop"])
    if body.get("service_tier") is not None:
        if not isinstance(body["service_tier"], str) or body["service_tier"] not in _TIERS:
            raise unsupported("has the service tiers auto and default (standard_only)", "/service_tier")
        written["service_tier"] = _TIERS[body["service_tier"]]
    who = body.get("safety_identifier") or body.get("user")
    if who is not None:
        written["metadata"] = {"user_id": who}


def _add_other(written: dict[str, Any], name: str, value: Any) -> None:
    if name in _AS_IT_IS:
        written[name] = value
    elif name not in _SAYS_NOTHING or not _SAYS_NOTHING[name](value):
        raise unsupported(f"has no {name}" if name in _SAYS_NOTHING else "has no such field", f"/{name}")


def _add_sampling(written: dict[str, Any], body: Mapping[str, Any]) -> None:
    """Zero stays zero. Anthropic's temperature ends at 1, OpenAI's at 2."""
    for name in ("temperature", "top_p", "top_k"):
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise malformed(f"{name} is a number", f"/{name}")
        if name != "top_k" and not 0 <= value <= 1:
            raise unsupported(f"takes a {name} of 0 to 1", f"/{name}")
        written[name] = value


def _stops(told: Any) -> list[str]:
    stops = [told] if isinstance(told, str) else told
    if not isinstance(stops, list) or not all(isinstance(one, str) and one for one in stops):
        raise malformed("stop is a text or a list of texts", "/stop")
    if any(one.isspace() for one in stops):
        raise unsupported("takes no stop sequence of white space alone", "/stop")
    return stops


def _max_tokens(body: Mapping[str, Any], *, needed: bool = True) -> int:
    name = "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"
    told = body.get(name)
    if told is None and not needed:
        return 1 << 30
    if not isinstance(told, int) or isinstance(told, bool) or told < 1:
        raise malformed("anthropic needs max_tokens, a whole number from 1 on", f"/{name}")
    return told


def _check_prefill(turn: Mapping[str, Any]) -> None:
    last = turn["content"][-1]
    if last["type"] == "text" and last["text"] != last["text"].rstrip():
        raise unsupported("goes on from no text that ends in white space: take it off", "/messages")
