"""How an answer is made: Gemini's generationConfig. What is 0 stays 0. Source: google-genai 3.4 (GenerateContentConfig)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.providers.base import Target
from rateguard.engine.providers.gemini.refusals import invalid, unsupported
from rateguard.engine.providers.gemini.thinking import thinking_config

_SAME = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "n": "candidateCount",
}
"""OpenAI's field → Gemini's, with the same meaning."""

JSON = "application/json"


def generation_config(body: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """What the body asks of the answer. Raises InvalidRequest."""
    config = {theirs: body[ours] for ours, theirs in _SAME.items() if body.get(ours) is not None}
    most = body.get("max_completion_tokens")
    most = body.get("max_tokens") if most is None else most
    if most is not None:
        config["maxOutputTokens"] = most
    if stop := body.get("stop"):
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    if body.get("logprobs"):
        config["responseLogprobs"] = True
        if body.get("top_logprobs") is not None:
            config["logprobs"] = body["top_logprobs"]
    if body.get("response_format") is not None:
        config.update(_format(body["response_format"]))
    if body.get("reasoning_effort") is not None:
        thinking = thinking_config(str(body["reasoning_effort"]), target)
        config.update({"thinkingConfig": thinking} if thinking else {})
    _check_modalities(body.get("modalities"))
    return config


def _format(answer_format: Any) -> dict[str, Any]:
    """A schema is always held to: `strict` changes nothing."""
    kind = answer_format.get("type") if isinstance(answer_format, Mapping) else None
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"responseMimeType": JSON}
    if kind == "json_schema":
        told = answer_format.get("json_schema")
        if not isinstance(told, Mapping):
            raise invalid("a json_schema has a name and a schema", "/response_format/json_schema")
        schema = told.get("schema")
        return {"responseMimeType": JSON, **({"responseJsonSchema": schema} if schema else {})}
    raise unsupported("gemini answers in text, json_object or json_schema", "/response_format/type")


def _check_modalities(modalities: Any) -> None:
    if not isinstance(modalities or [], list):
        raise invalid("modalities is a list", "/modalities")
    for number, kind in enumerate(modalities or ()):
        if kind != "text":
            raise unsupported(f"answers in {kind} are not translated from gemini: ask for text", f"/modalities/{number}")
