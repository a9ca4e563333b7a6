"""A request on Bedrock's wire: a chat as Converse or ConverseStream, embeddings as InvokeModel."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.errors import ConfigurationError, together
from rateguard.engine.providers.base import Endpoint, Request, Target, Wire
from rateguard.engine.providers.bedrock import embedding
from rateguard.engine.providers.bedrock.content import Block
from rateguard.engine.providers.bedrock.endpoint import url_of
from rateguard.engine.providers.bedrock.messages import has_tool_blocks, translate
from rateguard.engine.providers.bedrock.models import Model, model_of
from rateguard.engine.providers.bedrock.refusal import malformed, unsupported
from rateguard.engine.providers.bedrock.thinking import thinking_of
from rateguard.engine.providers.bedrock.tools import output_format, tool_config

_TRANSLATED = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "tools",
        "tool_choice",
        "response_format",
        "reasoning_effort",
        "thinking",
        "service_tier",
        "metadata",
        "user",
        "safety_identifier",
        "prompt_cache_key",  # where OpenAI looks for a cache: it changes no answer
        "stream",
        "stream_options",
    }
)
_HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "parallel_tool_calls": (True,),
    "modalities": (["text"],),
    "store": (False,),
    "functions": ([],),
}
"""Fields that Converse lacks, with the values that ask for nothing."""

_TIERS = {"auto": None, "default": None, "priority": "priority", "flex": "flex", "reserved": "reserved"}
_LABEL = re.compile(r"^[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}\Z")
MOST_LABELS = 16
ATTEMPT = "attempt"
"""Under this name the attempt's id stands in the request's metadata, by which Bedrock's invocation logs are searched."""


def write(target: Target, request: Request, *, is_streamed: bool) -> Wire:
    """The request as Bedrock takes it, not signed yet. Raises InvalidRequest (`unsupported_by_provider`)."""
    if request.endpoint is Endpoint.EMBEDDINGS:
        return embedding.write(target, request)
    operation = "converse-stream" if is_streamed else "converse"
    headers = {"Content-Type": "application/json", "User-Agent": "rateguard"}
    if is_streamed:
        headers |= {"Accept": "application/vnd.amazon.eventstream", "Accept-Encoding": "identity"}
    body = converse(target, request)
    return Wire(url_of(target, operation), headers, orjson.dumps(body), is_encoded=True)


def converse(target: Target, request: Request) -> Block:
    """The body of Converse, the same whether streamed or not."""
    asked, model = request.body, model_of(target)
    _refuse_unknown(asked)
    turns, system = translate(asked.get("messages"), model)
    body: Block = {"messages": turns}
    if system:
        body["system"] = system
    if inference := _inference(asked, model):
        body["inferenceConfig"] = inference
    if tools := tool_config(asked, model, has_tool_blocks=has_tool_blocks(turns)):
        body["toolConfig"] = tools
    extra, effort = thinking_of(asked, model, turns, target.options)
    if extra := {**_extra_by_options(target.options), **_top_k(asked, model), **extra}:
        body["additionalModelRequestFields"] = extra
    output = {"textFormat": output_format(asked, model), "effort": effort}
    if output := {name: value for name, value in output.items() if value}:
        body["outputConfig"] = output
    if tier := _tier(asked):
        body["serviceTier"] = {"type": tier}
    body["requestMetadata"] = _labels(asked, request.attempt_id)
    return body | by_options(target.options)


def _refuse_unknown(asked: Mapping[str, Any]) -> None:
    """Nothing is dropped in silence: a field without a word at Bedrock is refused, unless it asks for nothing."""
    refusals = [
        unsupported(f"bedrock has no word for {field!r}", f"/{field}")
        for field in asked.keys() - _TRANSLATED
        if asked[field] is not None and asked[field] not in _HARMLESS.get(field, ())
    ]
    if refusals:
        raise together(sorted(refusals, key=lambda refusal: refusal.pointer))


def _inference(asked: Mapping[str, Any], model: Model) -> Block:
    """`inferenceConfig`. A temperature of 0 is one."""
    config: Block = {}
    field = "max_tokens" if asked.get("max_completion_tokens") is None else "max_completion_tokens"
    if (most := asked.get(field)) is not None:
        if not isinstance(most, int) or most < 1:
            raise malformed(f"{field} is a number of tokens, at least 1", f"/{field}")
        config["maxTokens"] = most
    for field, name in (("temperature", "temperature"), ("top_p", "topP")):
        value = asked.get(field)
        if value is not None:
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise unsupported(f"bedrock takes a {field} from 0 to 1", f"/{field}")
            config[name] = value
    stop = asked.get("stop")
    if stop:
        config["stopSequences"] = _stops([stop] if isinstance(stop, str) else stop, model)
    return config


def _stops(stops: Any, model: Model) -> list[str]:
    if not isinstance(stops, list) or not all(isinstance(one, str) and one for one in stops):
        raise malformed("stop is a string or a list of strings, none of them empty", "/stop")
    if model.claude and not all(one.strip() for one in stops):
        raise unsupported("at bedrock Claude does not stop at white space alone", "/stop")
    return stops


def _top_k(asked: Mapping[str, Any], model: Model) -> Block:
    value: Any = asked.get("top_k")
    if value is None:
        return {}
    if not model.top_k:
        raise unsupported("this model of bedrock has no known word for top_k", "/top_k")
    for name in reversed(model.top_k):
        value = {name: value}
    return dict(value)


def _tier(asked: Mapping[str, Any]) -> str | None:
    tier = asked.get("service_tier")
    if tier is None:
        return None
    if not isinstance(tier, str) or tier not in _TIERS:
        raise unsupported(f"bedrock's service tiers are {', '.join(_TIERS)}", "/service_tier")
    return _TIERS[tier]


def _labels(asked: Mapping[str, Any], attempt_id: str) -> dict[str, str]:
    """The caller's metadata and who it is for, with the attempt's id where there is room. Raises InvalidRequest."""
    labels: dict[str, str] = {}
    metadata = asked.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        raise malformed("metadata is an object of words", "/metadata")
    for name, value in metadata.items():
        if not (isinstance(value, str) and _LABEL.match(name) and (not value or _LABEL.match(value))):
            raise unsupported(
                "bedrock takes letters, digits, spaces and : _ @ $ # = / + , . - in metadata, at most 256 of them", f"/metadata/{name}"
            )
        labels[name] = value
    if who := asked.get("safety_identifier") or asked.get("user"):
        labels["user"] = str(who) if _LABEL.match(str(who)) else "sha256:" + hashlib.sha256(str(who).encode()).hexdigest()
    if len(labels) > MOST_LABELS:
        raise unsupported(f"bedrock takes at most {MOST_LABELS} entries, the user's among them", "/metadata")
    return labels if len(labels) == MOST_LABELS else {ATTEMPT: attempt_id, **labels}


def _extra_by_options(options: Mapping[str, Any]) -> Mapping[str, Any]:
    said = options.get("additional_model_request_fields") or {}
    if not isinstance(said, Mapping):
        raise ConfigurationError(
            "the option additional_model_request_fields of a Bedrock deployment is an object of the model's own fields"
        )
    return said


def by_options(options: Mapping[str, Any]) -> Block:
    """What a deployment's options add. Raises ConfigurationError."""
    body: Block = {}
    if options.get("latency"):
        body["performanceConfig"] = {"latency": options["latency"]}
    if options.get("guardrail_id"):
        if not options.get("guardrail_version"):
            raise ConfigurationError("a Bedrock deployment with the option guardrail_id needs guardrail_version: a number, or DRAFT")
        body["guardrailConfig"] = {
            "guardrailIdentifier": str(options["guardrail_id"]),
            "guardrailVersion": str(options["guardrail_version"]),
        }
    return body
