"""Requests of official clients on their way under the gate: what is put into them, what is left, what is told back. No network, no rows."""

import json
from types import SimpleNamespace

import orjson
import pytest

from rateguard.engine.errors import GateUnavailable, InvalidRequest, LimitInTheWay, NotAllowed
from rateguard.engine.providers.base import Endpoint, Target, Wire
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.registry import ProviderRegistry
from rateguard.screening.contract import MiddlewareBroke
from rateguard.transport import doors, libraries
from rateguard.transport.dialects.anthropic import AnthropicDialect
from rateguard.transport.dialects.bedrock import BedrockDialect
from rateguard.transport.dialects.openai import OpenAIDialect
from rateguard.transport.headers import incoming, outgoing
from rateguard.transport.refusals import refusal_of
from rateguard.transport.splice import with_members
from rateguard.transport.tee import UsageHider

OPENAI, ANTHROPIC, BEDROCK = OpenAIDialect(), AnthropicDialect(), BedrockDialect()
REGISTRY = ProviderRegistry(HttpClient())
CHAT = b'{"messages": [{"role":"user","content":"a \\"model\\": {x} \\u00e9"}], "temperature": 1.0, "model": "ours", "max_tokens": 5}'
KEY = "sk-ours"


def target(provider="openai", **fields):
    return Target(**{"provider": provider, "base_url": "https://up.example/v1", "api_key": KEY, "upstream_model": "theirs", **fields})


def written(dialect, asked, provider="openai", max_tokens=None, **fields):
    return dialect.write(asked, target(provider, **fields), REGISTRY.get(provider), "id.1", max_tokens)


# ---- bytes


@pytest.mark.parametrize(
    ("body", "changes", "whole"),
    [
        (b'{"model":"a"}', {"model": b'"b"'}, b'{"model":"b"}'),
        (b'{ "x" : [1,{"model":"in"}], "model" :"a" , "y":1e3}', {"model": b'"b"'}, b'{ "x" : [1,{"model":"in"}], "model" :"b" , "y":1e3}'),
        (b'{"t":"\\\\\\" ,}{","model":"a","model":"c"}', {"model": b"1"}, b'{"t":"\\\\\\" ,}{","model":1,"model":1}'),
        (b'{"a":1}', {"b": b"2"}, b'{"b":2,"a":1}'),
        (b" { } ", {"b": b"2"}, b' {"b":2 } '),
        (b'{"a":null,"b":true}', {"a": b"{}", "b": b"[]"}, b'{"a":{},"b":[]}'),
    ],
)
def test_members_are_replaced_within_the_bytes(body, changes, whole):
    assert with_members(body, changes) == whole


def test_a_chat_leaves_byte_by_byte_but_for_its_model():
    wire = written(OPENAI, OPENAI.asked("POST", "/v1/chat/completions", CHAT))
    assert wire.body == CHAT.replace(b'"ours"', b'"theirs"')
    assert (wire.url, wire.headers["Authorization"], wire.headers["X-Client-Request-Id"]) == (
        "https://up.example/v1/chat/completions",
        f"Bearer {KEY}",
        "id.1",
    )


def test_a_length_is_put_in_where_none_is_said_and_a_streams_usage_is_asked_for():
    asked = OPENAI.asked(
        "POST", "/chat/completions", b'{"model":"ours","messages":[],"stream":true,"stream_options":{"include_obfuscation":true}}'
    )
    body = orjson.loads(written(OPENAI, asked, max_tokens=7).body)
    assert body["max_completion_tokens"] == 7
    assert body["stream_options"] == {"include_obfuscation": True, "include_usage": True}
    assert OPENAI.hides_usage(asked)
    assert not OPENAI.hides_usage(
        OPENAI.asked("POST", "/chat/completions", b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}')
    )


def test_a_preset_is_asked_in_its_own_words():
    asked = OPENAI.asked(
        "POST", "/chat/completions", b'{"model":"ours","messages":[{"role":"user","content":"x"}],"max_completion_tokens":5}'
    )
    assert OPENAI.speaks(REGISTRY.get("mistral"))
    assert "max_tokens" in orjson.loads(written(OPENAI, asked, "mistral").body)


def test_endpoints_are_known_by_their_address_and_all_others_are_refused():
    body = b'{"model":"m","input":"x"}'
    found = [OPENAI.asked("POST", path, body).endpoint for path in ("/v1/responses", "/openai/deployments/m/embeddings")]
    assert found == [Endpoint.RESPONSES, Endpoint.EMBEDDINGS]
    for dialect, method, path in [
        (OPENAI, "GET", "/v1/models"),
        (ANTHROPIC, "POST", "/v1/messages/batches"),
        (BEDROCK, "POST", "/model/m/invoke"),
    ]:
        with pytest.raises(InvalidRequest) as caught:
            dialect.asked(method, path, body)
        assert caught.value.code == "not_served"


def test_a_message_keeps_the_clients_version_and_betas():
    asked = ANTHROPIC.asked("POST", "/v1/messages", CHAT)
    wire = written(ANTHROPIC, asked, "anthropic", options={"beta": ["ours", "both"]})
    headers = outgoing(
        {"anthropic-version": "2030-01-01", "anthropic-beta": "theirs,both", "x-api-key": "sk-client"}, wire, ANTHROPIC.hides
    )
    assert wire.url == "https://up.example/v1/messages"
    assert wire.body == CHAT.replace(b'"ours"', b'"theirs"')
    assert (headers["anthropic-version"], headers["anthropic-beta"], headers["x-api-key"]) == ("2030-01-01", "theirs,both,ours", KEY)


def test_converse_goes_to_the_deployments_model_with_what_its_options_add():
    asked = BEDROCK.asked("POST", "/model/my%2Fmodel/converse-stream", b'{"messages":[{"role":"user","content":[{"text":"hi"}]}]}')
    options = {"guardrail_id": "g", "guardrail_version": "1"}
    wire = written(BEDROCK, asked, "bedrock", 9, upstream_model="a.b:0", base_url="", region="us-east-1", options=options)
    body = orjson.loads(wire.body)
    assert (asked.model, asked.is_streamed) == ("my/model", True)
    assert wire.url == "https://bedrock-runtime.us-east-1.amazonaws.com/model/a.b%3A0/converse-stream"
    assert (body["inferenceConfig"], body["requestMetadata"]) == ({"maxTokens": 9}, {"attempt": "id.1"})
    assert body["guardrailConfig"] == {"guardrailIdentifier": "g", "guardrailVersion": "1"}


# ---- views


ANTHROPICS = {
    "model": "ours",
    "max_tokens": 10,
    "system": [{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": "hello"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "I look"},
                {"type": "tool_use", "id": "t1", "name": "find", "input": {"who": "ann@example.com"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "found"}]},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            ],
        },
    ],
    "tools": [{"name": "find", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "any"},
    "stop_sequences": ["."],
}
BEDROCKS = {
    "system": [{"text": "be kind"}],
    "messages": [
        {"role": "user", "content": [{"text": "hello"}]},
        {
            "role": "assistant",
            "content": [{"text": "I look"}, {"toolUse": {"toolUseId": "t1", "name": "find", "input": {"who": "ann@example.com"}}}],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"text": "found"}]}},
                {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
            ],
        },
    ],
    "toolConfig": {"tools": [{"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object"}}}}], "toolChoice": {"any": {}}},
    "inferenceConfig": {"maxTokens": 10, "stopSequences": ["."]},
}
BOTH = [
    (ANTHROPIC, ANTHROPIC.asked("POST", "/v1/messages", json.dumps(ANTHROPICS).encode())),
    (BEDROCK, BEDROCK.asked("POST", "/model/ours/converse", json.dumps(BEDROCKS).encode())),
]


@pytest.mark.parametrize(("dialect", "asked"), BOTH, ids=["anthropic", "bedrock"])
def test_other_dialects_are_shown_in_openais_shape(dialect, asked):
    system, hello, looked, found, image = asked.view["messages"]
    assert system == {"role": "system", "content": [{"type": "text", "text": "be kind"}]}
    assert hello["content"] in ("hello", [{"type": "text", "text": "hello"}])
    assert looked["content"] == [{"type": "text", "text": "I look"}]
    assert json.loads(looked["tool_calls"][0]["function"]["arguments"]) == {"who": "ann@example.com"}
    assert (found["role"], found["tool_call_id"], found["content"]) == ("tool", "t1", [{"type": "text", "text": "found"}])
    assert image["content"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    assert (asked.view["tool_choice"], asked.view["stop"], asked.view["max_tokens"], asked.model) == ("required", ["."], 10, "ours")
    assert asked.view["tools"][0]["function"]["name"] == "find"


@pytest.mark.parametrize(("dialect", "asked"), BOTH, ids=["anthropic", "bedrock"])
def test_texts_that_a_middleware_changed_go_back_to_their_places_and_nothing_else_can_change(dialect, asked):
    text = orjson.dumps(asked.view).replace(b"ann@example.com", b"[email]").replace(b"hello", b"HELLO").replace(b"found", b"lost")
    changed = dialect.changed(asked, {**orjson.loads(text), "model": "another"})
    sent = orjson.dumps(changed.native)
    assert sent == orjson.dumps(asked.native).replace(b"ann@example.com", b"[email]").replace(b"hello", b"HELLO").replace(b"found", b"lost")
    assert changed.model == "another"
    with pytest.raises(MiddlewareBroke):
        dialect.changed(asked, {**asked.view, "temperature": 1})
    with pytest.raises(MiddlewareBroke):
        dialect.changed(asked, {**asked.view, "messages": asked.view["messages"][1:]})


# ---- headers


def test_nothing_of_the_clients_own_account_leaves():
    given = {
        "authorization": "Bearer sk-client",
        "openai-organization": "org",
        "cookie": "c",
        "host": "api.openai.com",
        "x-own": "1",
        "accept": "a",
    }
    wire = Wire("https://up.example", {"Authorization": f"Bearer {KEY}", "Accept": "b", "X-Client-Request-Id": "id.1"}, b"")
    assert outgoing(given, wire, OPENAI.hides) == {
        "x-own": "1",
        "accept": "a",
        "authorization": f"Bearer {KEY}",
        "x-client-request-id": "id.1",
        "accept-encoding": "identity",
    }


def test_a_failed_call_is_not_repeated_by_the_client_and_leads_nowhere_else():
    back = incoming(302, {"Location": "https://elsewhere", "X-Should-Retry": "true", "Retry-After": "3"}, {"x-rateguard-attempt": "id.1"})
    assert back == {"retry-after": "3", "x-should-retry": "false", "x-rateguard-attempt": "id.1"}
    assert "x-should-retry" not in incoming(200, {}, {})


@pytest.mark.parametrize(("dialect", "query"), [(OPENAI, b""), (ANTHROPIC, b"api-version=x")])
def test_what_stands_behind_the_address_goes_along_where_it_is_part_of_what_is_asked(dialect, query):
    module = libraries.library()
    request = module.Request("POST", "https://client.example/v1/messages?api-version=x", content=b"{}")
    attempt = SimpleNamespace(prepared=SimpleNamespace(dialect=dialect))
    leaves = doors.leaving(module, request, Wire("https://up.example/here", {}, b"{}"), attempt, is_async=False)
    assert (leaves.url.host, leaves.url.path, leaves.url.query) == ("up.example", "/here", query)


# ---- streams


def event(**chunk):
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


USAGE = event(choices=[], usage={"total_tokens": 3})


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_usage_that_nobody_asked_for_is_taken_out_wherever_the_network_cuts(size):
    kept = [
        event(choices=[], prompt_filter_results=[]),
        event(choices=[{"delta": {"content": '"usage"'}}], usage=None),
        event(choices=[{"delta": {"content": "x"}}], usage={"total_tokens": 2}),  # some tell it as it grows
        b"data: [DONE]\n\n",
    ]
    stream, hider = b"".join([*kept[:3], USAGE, kept[3]]), UsageHider()
    passed = b"".join(hider.feed(stream[at : at + size]) for at in range(0, len(stream), size)) + hider.finish()
    assert passed == b"".join(kept)
    assert UsageHider().feed(event(choices=[]) + b"data: {") == event(choices=[])


# ---- refusals


LIMIT = {"scope_kind": "tenant", "scope": "acme", "limit": "600 requests per minute"}


@pytest.mark.parametrize(
    ("error", "status", "waits_s", "kinds"),
    [
        (
            LimitInTheWay("later", code="no_room_in_time", retry_after_ms=1_500, **LIMIT),
            429,
            "2",
            ("rate_limit_error", "rate_limit_error", "ThrottlingException"),
        ),
        (
            LimitInTheWay("spent", code="budget_exhausted", **LIMIT),
            402,
            None,
            ("insufficient_quota", "billing_error", "ServiceQuotaExceededException"),
        ),
        (NotAllowed("no", code="model_not_allowed"), 403, None, ("permission_error", "permission_error", "AccessDeniedException")),
        (InvalidRequest("no", code="unknown_model"), 404, None, ("invalid_request_error", "not_found_error", "ResourceNotFoundException")),
        (InvalidRequest("no", code="exceeds_limit"), 400, None, ("invalid_request_error", "invalid_request_error", "ValidationException")),
        (GateUnavailable("away"), 503, "1", ("server_error", "api_error", "ServiceUnavailableException")),
        (ZeroDivisionError("sk-secret"), 500, None, ("server_error", "api_error", "InternalServerException")),
    ],
)
def test_each_client_hears_a_refusal_in_its_own_form(error, status, waits_s, kinds):
    refusal = refusal_of(error)
    told = [dialect.refused(refusal) for dialect in (OPENAI, ANTHROPIC, BEDROCK)]
    said = (orjson.loads(told[0][1])["error"]["type"], orjson.loads(told[1][1])["error"]["type"], told[2][0]["x-amzn-errortype"])
    assert (refusal.status, said) == (status, kinds)
    for headers, body in told:
        assert (headers.get("retry-after"), headers["x-should-retry"], headers["x-rateguard-code"]) == (waits_s, "false", refusal.code)
        assert b"sk-secret" not in body


def test_openais_client_is_told_the_field():
    _, body = OPENAI.refused(refusal_of(InvalidRequest("no", pointer="/messages/0/content")))
    assert orjson.loads(body)["error"]["param"] == "messages.0.content"
