"""What Anthropic's dialect asks beside the table: settings, families of models, thinking, tools, JSON."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.anthropic.request import write_body
from rateguard.engine.providers.capabilities import Feature
from tests.dialects.anthropic_asked import BUDGET, MIDDLE, NEWEST, OLDEST, chat, events_of, provider, read, refusal, sent, streamed, target
from tests.dialects.cases import MESSAGES, SCHEMA, WEATHER

# ---- settings of a request


def test_zero_stays_zero_and_each_setting_has_its_own_name():
    written = sent(temperature=0, top_k=5, stop="END", max_completion_tokens=9, user="u-1", service_tier="default")
    assert (written["temperature"], written["top_k"], written["max_tokens"]) == (0, 5, 9)
    assert (written["stop_sequences"], written["metadata"], written["service_tier"]) == (["END"], {"user_id": "u-1"}, "standard_only")
    assert sent(service_tier="standard_only", safety_identifier="s", user="u")["metadata"] == {"user_id": "s"}


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"temperature": 1.5}, "/temperature"),
        ({"max_tokens": None}, "/max_tokens"),
        ({"stop": ["\n"]}, "/stop"),
        ({"service_tier": "priority"}, "/service_tier"),
        ({"metadata": {"a": "b"}}, "/metadata"),
        ({"store": True}, "/store"),
        ({"nobody_knows": 1}, "/nobody_knows"),
        ({"functions": [{"name": "f"}]}, "/functions"),
        ({"tool_choice": "required"}, "/tool_choice"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "/tools/0/type"),
        ({"tools": [{"type": "custom", "function": {"name": "f"}}]}, "/tools/0/type"),
        ({"tools": [None]}, "/tools/0/type"),
        ({"tools": [{"type": "function", "function": {"name": "answer_in_json"}}]}, "/tools/0/function/name"),
        ({"response_format": {"type": "json_object"}, "tools": [WEATHER]}, "/response_format"),
        ({"web_search_options": {"search_context_size": "high"}}, "/web_search_options/search_context_size"),
        ({"reasoning_effort": "high", "temperature": 0}, "/temperature"),
        ({"reasoning_effort": "high", "top_k": 5}, "/top_k"),
        ({"reasoning_effort": "enormous"}, "/reasoning_effort"),
        ({"reasoning_effort": "low", "thinking": {"type": "adaptive"}}, "/thinking"),
        ({"thinking": "adaptive"}, "/thinking"),
        ({"messages": {"role": "user"}}, "/messages"),
        ({"service_tier": ["auto"]}, "/service_tier"),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_field(fields, pointer):
    assert refusal(**fields).pointer == pointer


def test_the_newer_version_takes_no_sampling_parameters_of_any_model():
    newer = {"api_version": "2026-10-21"}
    assert refusal(options=newer, temperature=1).pointer == "/temperature"
    assert refusal(options=newer, top_k=1).code == "unsupported_by_provider"
    assert refusal(NEWEST, temperature=1).pointer == "/temperature"


def test_the_account_says_version_key_header_and_betas():
    old = provider().write(target(base_url="https://host/v1/"), chat(), is_streamed=False)
    new = provider().write(target(api_version="2026-10-21", auth="bearer", beta=["a", "b"]), chat(), is_streamed=True)
    assert (old.url, old.headers["x-api-key"], old.headers["anthropic-version"]) == (
        "https://host/v1/messages",
        "sk-ant-secret",
        "2023-06-01",
    )
    assert (new.headers["Authorization"], new.headers["anthropic-version"]) == ("Bearer sk-ant-secret", "2026-10-21")
    fast = provider().write(target(beta="a"), chat(speed="fast", inference_geo="us"), is_streamed=False)
    assert (fast.headers["anthropic-beta"], orjson.loads(fast.body)["speed"]) == ("a,fast-mode-2026-02-01", "fast")
    assert (new.headers["anthropic-beta"], "x-api-key" in new.headers, orjson.loads(new.body)["stream"]) == ("a,b", False, True)


def test_a_cloud_that_hosts_claude_gets_the_body_without_the_model():
    written = write_body(target("claude-haiku-4-5@20251001", api_version="v1"), chat(temperature=0), is_streamed=True)
    assert "model" not in written
    assert (written["stream"], written["temperature"]) == (True, 0)


# ---- families of models


@pytest.mark.parametrize(
    ("model", "lacks"),
    [
        (OLDEST, {Feature.REASONING}),
        (BUDGET, set()),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", set()),
        (MIDDLE, {Feature.PREFILL}),
        ("claude-opus-4-7", {Feature.PREFILL, Feature.SAMPLING, Feature.TOP_K}),
        ("claude-sonnet-5-5", {Feature.PREFILL, Feature.SAMPLING, Feature.TOP_K, Feature.FORCED_TOOL, Feature.JSON_MODE}),
        ("claude-opus-9", set()),
    ],
)
def test_a_family_lacks_what_it_lacks(model, lacks):
    never = {"audio", "penalties", "logit_bias", "logprobs", "seed", "several_choices", "prediction", "service_tier"}
    assert set(Feature) - provider().capabilities_of(target(model)).features - {Feature(word) for word in never} == lacks


def test_an_account_may_know_better_what_its_model_can():
    knows = {"capabilities": {"sampling": False, "images": False, "prefill": True}}
    features = provider().capabilities_of(target(**knows)).features
    assert Feature.PREFILL in features
    assert not features & {Feature.SAMPLING, Feature.TOP_K, Feature.IMAGES}
    with pytest.raises(ConfigurationError, match="telepathy"):
        provider().capabilities_of(target(capabilities={"telepathy": True}))


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "told"),
    [
        (MIDDLE, "minimal", "adaptive", {"effort": "low"}),
        (MIDDLE, "xhigh", "adaptive", {"effort": "max"}),
        (NEWEST, "xhigh", "adaptive", {"effort": "xhigh"}),
        (BUDGET, "high", "enabled", None),
        ("claude-opus-4-5", "max", "enabled", {"effort": "high"}),
        ("claude-opus-5", "none", "disabled", None),
        ("claude-sonnet-5-5", "none", "between_tools", None),
        (MIDDLE, "none", None, None),
    ],
)
def test_effort_is_said_as_the_family_takes_it(model, effort, thinking, told):
    written = sent(model, reasoning_effort=effort, max_tokens=32_000)
    assert (written.get("thinking", {}).get("type"), written.get("output_config")) == (thinking, told)


def test_a_model_goes_on_from_what_it_is_said_to_have_said_but_not_from_white_space():
    def said(text: str) -> dict[str, Any]:
        return {"messages": [*MESSAGES, {"role": "assistant", "content": text}], "max_tokens": 4_000}

    assert sent(BUDGET, **said("She sold"))["messages"][-1]["content"] == [{"type": "text", "text": "She sold"}]
    assert refusal(BUDGET, **said("She sold ")).pointer == "/messages"
    assert refusal(BUDGET, **said("She sold"), reasoning_effort="low").pointer == "/reasoning_effort"
    assert refusal(MIDDLE, **said("She sold")).pointer == "/messages/2"


def test_a_budget_of_thinking_lies_within_max_tokens():
    assert sent(BUDGET, reasoning_effort="high", max_tokens=4_000)["thinking"] == {"type": "enabled", "budget_tokens": 3_000}
    assert sent(BUDGET, reasoning_effort="low", max_tokens=1_025)["thinking"]["budget_tokens"] == 1_024
    assert refusal(BUDGET, reasoning_effort="low", max_tokens=1_024).pointer == "/max_tokens"
    forced = {"tools": [WEATHER], "tool_choice": "required", "max_tokens": 4_000}
    assert refusal(BUDGET, reasoning_effort="low", **forced).pointer == "/reasoning_effort"
    assert sent(MIDDLE, reasoning_effort="low", **forced)["tool_choice"] == {"type": "any"}


def test_thinking_that_cannot_be_turned_off_is_not_said_to_be_off():
    assert refusal(NEWEST, reasoning_effort="none").pointer == "/reasoning_effort"


def test_how_thinking_is_shown_is_the_accounts_to_say():
    hidden = {"thinking": {"display": "omitted"}}
    assert sent(reasoning_effort="low")["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert sent(options=hidden, reasoning_effort="low")["thinking"] == {"type": "adaptive", "display": "omitted"}
    assert sent(NEWEST, hidden)["thinking"] == {"type": "adaptive", "display": "omitted"}
    assert "thinking" not in sent(MIDDLE, hidden)
    assert sent(thinking={"type": "enabled", "budget_tokens": 2_000})["thinking"]["budget_tokens"] == 2_000


# ---- tools and JSON


def test_tools_go_out_with_their_marks_and_choices():
    marked = {**WEATHER, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    strict = {"type": "function", "function": {"name": "now", "strict": True}}
    own = {"type": "web_fetch_20250910", "name": "web_fetch"}
    written = sent(
        tools=[marked, strict, own], parallel_tool_calls=False, web_search_options={"user_location": {"approximate": {"city": "Oslo"}}}
    )
    weather, now, fetch, search = written["tools"]
    assert (weather["name"], weather["input_schema"], weather["cache_control"]["ttl"]) == (
        "weather",
        WEATHER["function"]["parameters"],
        "1h",
    )
    assert (now, fetch) == ({"name": "now", "input_schema": {"type": "object"}, "strict": True}, own)
    assert (search["name"], search["user_location"]) == ("web_search", {"type": "approximate", "city": "Oslo"})
    assert written["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    named = sent(tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "weather"}}, parallel_tool_calls=False)
    assert named["tool_choice"] == {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}


def test_a_schema_is_answered_by_structured_output_where_the_model_has_it():
    format_ = {"type": "json_schema", "json_schema": {**SCHEMA, "description": "How many."}}
    written = sent(response_format=format_, reasoning_effort="low", tools=[WEATHER])
    schema = {**SCHEMA["schema"], "description": "How many."}
    assert written["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": schema}}
    loose = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA["schema"]}}
    older = sent(OLDEST, response_format=loose)
    assert (older["tools"][0]["input_schema"], older["tool_choice"]["name"]) == (SCHEMA["schema"], "answer_in_json")
    assert refusal(OLDEST, response_format=format_).pointer == "/response_format/json_schema/strict"


def test_json_without_a_schema_is_the_input_of_a_tool_and_comes_out_as_content():
    assert sent(response_format={"type": "json_object"})["tool_choice"] == {"type": "tool", "name": "answer_in_json"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "answer_in_json", "input": {}}
    choice = read([{**call, "input": {"n": 72}}], stop_reason="tool_use")["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"], choice["native_finish_reason"]) == ('{"n":72}', "stop", "tool_use")
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ('{"n": ', "72}")]
    chunks, whole = streamed(events_of([call], [deltas], "tool_use"))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"]) == '{"n": 72}'
    assert orjson.loads(whole["choices"][0]["message"]["content"]) == {"n": 72}
    assert (whole["choices"][0]["finish_reason"], "tool_calls" in whole["choices"][0]["message"]) == ("stop", False)
