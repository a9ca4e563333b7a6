"""The table of cases: what models say, and what requests ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.money import Usage
from rateguard.engine.providers.capabilities import Feature
from tests.dialects.speech import Said, ToolCall

SAID: Mapping[str, Said] = {
    "plain": Said(),
    "many_scripts": Said(pieces=("Grüße, ", "你好", " – ", "👋🏽", "\n\ndata: x\r\n", '"quoted" \\ {}')),
    "length": Said(finish="length"),
    "content_filter": Said(pieces=("I can",), finish="content_filter"),
    "one_tool": Said(pieces=(), tool_calls=(ToolCall("call_1", "weather", '{"city":"Zürich","days":3}'),), finish="tool_calls"),
    "tools_behind_text": Said(
        pieces=("Let me ", "see."),
        tool_calls=(ToolCall("call_1", "weather", '{"city":"Oslo"}'), ToolCall("call_2", "time", "{}")),
        finish="tool_calls",
    ),
    "reasoning": Said(reasoning="48 / 2 is 24.", usage=Usage(input_tokens=11, output_tokens=40, reasoning_tokens=33)),
    "cached": Said(usage=Usage(input_tokens=5, cached_tokens=1_024, output_tokens=7)),
    "cache_written": Said(usage=Usage(input_tokens=5, cache_write_tokens=2_048, output_tokens=7)),
    "cache_written_long": Said(usage=Usage(input_tokens=5, cache_write_tokens=2_048, cache_write_long_tokens=2_000, output_tokens=7)),
}

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How many clips did Natalia sell?"},
]
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of the next days.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]},
    },
}
SCHEMA = {
    "name": "answer",
    "strict": True,
    "schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False},
}


def body(**fields: Any) -> dict[str, Any]:
    """A plain chat with these fields."""
    return {"model": "public-name", "messages": MESSAGES, "max_tokens": 64, **fields}


def _with_part(part: Mapping[str, Any]) -> dict[str, Any]:
    return body(messages=[{"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}])


ASKS: Mapping[Feature, dict[str, Any]] = {
    Feature.TOOLS: body(tools=[WEATHER]),
    Feature.FORCED_TOOL: body(tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "weather"}}),
    Feature.PARALLEL_TOOL_CALLS: body(tools=[WEATHER], parallel_tool_calls=False),
    Feature.IMAGES: _with_part({"type": "image_url", "image_url": {"url": PIXEL}}),
    Feature.AUDIO: _with_part({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}),
    Feature.FILES: _with_part({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}),
    Feature.JSON_MODE: body(response_format={"type": "json_object"}),
    Feature.JSON_SCHEMA: body(response_format={"type": "json_schema", "json_schema": SCHEMA}),
    Feature.REASONING: body(reasoning_effort="high"),
    Feature.SAMPLING: body(temperature=0),
    Feature.TOP_K: body(top_k=5),
    Feature.PENALTIES: body(frequency_penalty=0.5),
    Feature.LOGIT_BIAS: body(logit_bias={"50256": -100}),
    Feature.LOGPROBS: body(logprobs=True, top_logprobs=2),
    Feature.SEED: body(seed=0),
    Feature.STOP: body(stop=["\nEND"]),
    Feature.SEVERAL_CHOICES: body(n=2),
    Feature.PREDICTION: body(prediction={"type": "content", "content": "72"}),
    Feature.PREFILL: body(messages=[*MESSAGES, {"role": "assistant", "content": "She sold"}]),
    Feature.WEB_SEARCH: body(web_search_options={}),
    Feature.SERVICE_TIER: body(service_tier="flex"),
}
"""A request that asks for one thing beside a plain chat."""

HISTORY: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Weather in Oslo and Zürich?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}},
            {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Zürich"}'}},
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    {"role": "tool", "tool_call_id": "call_2", "content": "sun"},
    {"role": "user", "content": "And now?"},
]
"""A talk with calls of tools and their results."""
