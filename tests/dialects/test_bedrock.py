"""What Bedrock is told and what it says, beside the table of all dialects; botocore's service model judges every body that is sent."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st

from rateguard.engine.errors import ConfigurationError, InvalidRequest
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Answer, Endpoint, Request, Target
from rateguard.engine.providers.http import Reply
from tests.dialects.bedrock_speech import SPEECH, event
from tests.dialects.cases import ASKS, HISTORY, MESSAGES, PIXEL, SCHEMA, WEATHER
from tests.dialects.converse import LLAMA, NOVA, OPUS_4_7, PROVIDER, SONNET_3_7, at, chat, refused, sent
from tests.dialects.speech import Said, ToolCall

CACHED = {"type": "ephemeral"}
TO_NAME = 12 + 1 + len(":event-type") + 1 + 2
"""Bytes of a frame before the event's name."""


# ---- what is asked


@pytest.mark.parametrize("model", [SPEECH.target.upstream_model, SONNET_3_7, OPUS_4_7, NOVA, LLAMA])
def test_whatever_is_sent_aws_knows_every_field_of_it(model: str):
    target = at(model, guardrail_id="gr1", guardrail_version="DRAFT", latency="optimized")
    sent(target, chat(messages=HISTORY, tools=[WEATHER], metadata={"team": "a b"}, user="ann@example.com"))
    for feature, asking in ASKS.items():
        if feature in PROVIDER.capabilities_of(target).features:
            sent(target, Request(Endpoint.CHAT, asking | {"max_tokens": 4096}, "a"))


def test_a_talk_takes_turns_and_results_stand_first():
    messages = [
        *HISTORY[:3],
        {"role": "tool", "tool_call_id": "call_2", "content": "sun"},
        {"role": "user", "content": "Thanks."},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "no idea"}], "is_error": True},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind.", "cache_control": CACHED}]},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "And now?"},
    ]
    written = sent(SPEECH.target, chat(messages=messages, tools=[WEATHER]))

    assert written["system"] == [{"text": "Be brief."}, {"text": "Be kind."}, {"cachePoint": {"type": "default"}}]
    assert [turn["role"] for turn in written["messages"]] == ["user", "assistant", "user"]
    assert written["messages"][1]["content"][1]["toolUse"] == {"toolUseId": "call_2", "name": "weather", "input": {"city": "Zürich"}}
    assert written["messages"][2]["content"] == [
        {"toolResult": {"toolUseId": "call_2", "content": [{"text": "sun"}]}},
        {"toolResult": {"toolUseId": "call_1", "content": [{"text": "no idea"}], "status": "error"}},
        {"text": "Thanks."},
        {"text": "And now?"},
    ]


def test_an_id_that_bedrock_would_refuse_is_changed_in_call_and_result_alike():
    foreign = "call|with spaces/" + "x" * 80
    messages = orjson.loads(orjson.dumps(HISTORY[:4]).replace(b"call_1", foreign.encode()))
    messages[2]["tool_calls"].pop()  # the other one, which has no result here
    turns = sent(SPEECH.target, chat(messages=messages, tools=[WEATHER]))["messages"]
    called, result = turns[1]["content"][0]["toolUse"]["toolUseId"], turns[2]["content"][0]["toolResult"]["toolUseId"]
    assert called == result
    assert len(called) <= 64
    assert called.isidentifier()


def test_images_and_documents_go_as_their_bytes():
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "auto"}, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "image_url", "image_url": {"url": "s3://bucket/cat.webp"}},
        {"type": "file", "file": {"filename": "Q3: repört_final.v2.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "file", "file": {"filename": "notes.md", "file_data": "data:application/octet-stream;base64,IyBI"}},
    ]
    content = sent(SPEECH.target, chat(messages=[{"role": "user", "content": parts}]))["messages"][0]["content"]
    assert content[1]["image"] == {"format": "png", "source": {"bytes": PIXEL.partition(",")[2]}}
    assert content[2] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert content[3]["image"] == {"format": "webp", "source": {"s3Location": {"uri": "s3://bucket/cat.webp"}}}
    assert content[4]["document"] == {"format": "pdf", "name": "Q3 rep rt final v2", "source": {"bytes": "JVBERi0="}}
    assert (content[5]["document"]["format"], content[5]["document"]["name"]) == ("md", "notes")


def test_numbers_keep_their_zero_and_words_become_converses():
    asked = chat(temperature=0, top_p=1, top_k=7, stop="END", service_tier="flex", max_completion_tokens=9, metadata={"a": "b"})
    written = sent(SPEECH.target, asked)
    assert written["inferenceConfig"] == {"maxTokens": 9, "temperature": 0, "topP": 1, "stopSequences": ["END"]}
    assert written["additionalModelRequestFields"] == {"top_k": 7}
    assert written["serviceTier"] == {"type": "flex"}
    assert written["requestMetadata"] == {"attempt": "attempt-1", "a": "b"}
    assert sent(at(NOVA), chat(safety_identifier="auth0|ann"))["requestMetadata"]["user"].startswith("sha256:")
    full = {f"label {number}": "x" for number in range(16)}
    assert sent(at(NOVA), chat(metadata=full))["requestMetadata"] == full
    assert sent(at(NOVA), chat(top_k=7))["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 7}}


def test_what_asks_for_nothing_is_no_reason_to_refuse():
    nothing = {
        "n": 1,
        "logprobs": False,
        "frequency_penalty": 0,
        "store": False,
        "parallel_tool_calls": True,
        "verbosity": None,
        "odd": None,
    }
    assert sent(at(NOVA), chat(**nothing, prompt_cache_key="x")) == sent(at(NOVA), chat())


def test_options_of_the_deployment_are_sent():
    target = at(NOVA, latency="optimized", guardrail_id="gr1", guardrail_version=3, additional_model_request_fields={"x": 1})
    written = sent(target, chat(top_k=7))
    assert written["performanceConfig"] == {"latency": "optimized"}
    assert written["guardrailConfig"] == {"guardrailIdentifier": "gr1", "guardrailVersion": "3"}
    assert written["additionalModelRequestFields"] == {"x": 1, "inferenceConfig": {"topK": 7}}
    with pytest.raises(ConfigurationError, match="guardrail_version"):
        sent(at(NOVA, guardrail_id="gr1"), chat())
    with pytest.raises(ConfigurationError, match="additional_model_request_fields"):
        sent(at(NOVA, additional_model_request_fields=["x"]), chat())


def test_tools_are_told_with_their_choice_and_where_the_cache_begins():
    tool = {**WEATHER, "function": {**WEATHER["function"], "strict": True}, "cache_control": CACHED}
    for choice, said in (("auto", {"auto": {}}), ("required", {"any": {}}), ({"type": "function", "function": {"name": "weather"}}, None)):
        config = sent(SPEECH.target, chat(tools=[tool], tool_choice=choice))["toolConfig"]
        assert config["toolChoice"] == (said or {"tool": {"name": "weather"}})
        assert config["tools"][0]["toolSpec"]["strict"] is True
        assert config["tools"][1] == {"cachePoint": {"type": "default"}}
    assert "toolConfig" not in sent(SPEECH.target, chat(tools=[tool], tool_choice="none"))


def test_reasoning_is_asked_for_in_the_words_of_the_models_generation():
    written = sent(SPEECH.target, chat(reasoning_effort="high"))
    assert written["additionalModelRequestFields"]["thinking"]["type"] == "adaptive"
    assert written["outputConfig"] == {"effort": "high"}
    written = sent(at(SONNET_3_7), chat(reasoning_effort="low", max_tokens=8_000))
    assert written["additionalModelRequestFields"]["thinking"] == {"type": "enabled", "budget_tokens": 2_048}
    assert "additionalModelRequestFields" not in sent(SPEECH.target, chat(reasoning_effort="none"))


REFUSALS = {
    "too little room to think": (SONNET_3_7, {"reasoning_effort": "low", "max_tokens": 1_000}, "/max_tokens"),
    "thinking of others": (NOVA, {"reasoning_effort": "low"}, "/reasoning_effort"),
    "sampling of the newest": (OPUS_4_7, {"temperature": 0}, "/temperature"),
    "a temperature above one": (NOVA, {"temperature": 1.5}, "/temperature"),
    "an unknown field": (NOVA, {"verbosity": "low"}, "/verbosity"),
    "storing": (NOVA, {"store": True}, "/store"),
    "several choices": (NOVA, {"n": 2}, "/n"),
    "a seed": (NOVA, {"seed": 0}, "/seed"),
    "an image from the web": (
        NOVA,
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]},
        "/messages/0/content/0/image_url",
    ),
    "how closely to look": (
        NOVA,
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}]}]},
        "/messages/0/content/0/image_url/detail",
    ),
    "a file that is kept elsewhere": (
        NOVA,
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
        "/messages/0/content/0/file",
    ),
    "a name of a speaker": (NOVA, {"messages": [{"role": "user", "content": "hi", "name": "ann"}]}, "/messages/0/name"),
    "a cache that is not there": (
        LLAMA,
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": CACHED}]}]},
        "/messages/0/content/0/cache_control",
    ),
    "calls without their tools": (NOVA, {"messages": HISTORY}, "/tools"),
    "to forget tools": (NOVA, {"messages": HISTORY, "tools": [WEATHER], "tool_choice": "none"}, "/tool_choice"),
    "JSON by a tool beside tools": (NOVA, {"tools": [WEATHER], "response_format": {"type": "json_object"}}, "/response_format"),
    "a stop that is none": (NOVA, {"stop": ["a", ""]}, "/stop"),
    "a stop of white space": (OPUS_4_7, {"stop": "\n"}, "/stop"),
    "a length that is none": (NOVA, {"max_tokens": "64"}, "/max_tokens"),
    "tools that are no list": (NOVA, {"tools": "all"}, "/tools"),
    "metadata that is no object": (NOVA, {"metadata": ["a"]}, "/metadata"),
    "a format that is none": (NOVA, {"response_format": {"type": {}}}, "/response_format"),
    "messages that are none": (NOVA, {"messages": "hi"}, "/messages"),
    "a message that is none": (NOVA, {"messages": ["hi"]}, "/messages/0/role"),
    "a tier that is none": (LLAMA, {"service_tier": {}}, "/service_tier"),
    "a tier": (NOVA, {"service_tier": "scale"}, "/service_tier"),
    "metadata that AWS does not take": (NOVA, {"metadata": {"a": "ä"}}, "/metadata/a"),
    "more metadata than AWS takes": (NOVA, {"metadata": {str(n): "" for n in range(16)}, "user": "ann"}, "/metadata"),
    "a talk that the assistant begins": (NOVA, {"messages": [{"role": "assistant", "content": "hi"}]}, "/messages"),
    "nothing said": (NOVA, {"messages": [{"role": "user", "content": " "}]}, "/messages"),
    "a call without its result": (NOVA, {"messages": HISTORY[:4], "tools": [WEATHER]}, "/messages/2/tool_calls"),
    "an assistant that goes on before the results": (
        NOVA,
        {"messages": [*HISTORY[:3], {"role": "assistant", "content": "Hm."}, *HISTORY[3:]], "tools": [WEATHER]},
        "/messages/2/tool_calls",
    ),
    "two calls of one id": (
        NOVA,
        {"messages": [HISTORY[1], {**HISTORY[2], "tool_calls": HISTORY[2]["tool_calls"][:1] * 2}, *HISTORY[3:]], "tools": [WEATHER]},
        "/messages/1/tool_calls",
    ),
    "a result without its call": (NOVA, {"messages": [*HISTORY, HISTORY[3]], "tools": [WEATHER]}, "/messages/6/tool_call_id"),
    "arguments that are no object": (
        NOVA,
        {"messages": [MESSAGES[1], {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[1"}}]}]},
        "/messages/1/tool_calls/0/function/arguments",
    ),
}


@pytest.mark.parametrize(("model", "fields", "pointer"), REFUSALS.values(), ids=REFUSALS)
def test_what_bedrock_cannot_be_told_is_refused_by_its_field(model: str, fields: dict[str, Any], pointer: str):
    refusal = refused(at(model), chat(**fields))
    assert refusal.pointer == pointer
    assert refusal.code in {"unsupported_by_provider", "invalid_field"}


WORDS = st.sampled_from(["", " ", "hi", "grüße"])
PART = st.sampled_from([{"type": "text", "text": "x"}, {"type": "text", "text": ""}, {"type": "image_url", "image_url": {"url": PIXEL}}])
CONTENT = WORDS | st.none() | st.lists(PART, max_size=2)
SAYING = st.builds(
    lambda role, content: [{"role": role, "content": content}],
    st.sampled_from(["user", "user", "system", "developer", "assistant"]),
    CONTENT,
)
ODD = st.sampled_from(
    [
        {"role": "tool", "tool_call_id": "a", "content": "x"},
        {"role": "odd", "content": "x"},
        {"role": "user", "content": [{"type": "odd"}]},
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        "text",
    ]
)


@st.composite
def calling(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Calls of tools, their results in any order, and perhaps a word of the user's among them."""
    ids = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True))
    calls = [{"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}} for one in ids]
    results = [{"role": "tool", "tool_call_id": one, "content": draw(CONTENT)} for one in ids]
    between = [{"role": "user", "content": "hm"}] * draw(st.integers(0, 1))
    return [{"role": "assistant", "content": draw(WORDS), "tool_calls": calls}, *draw(st.permutations(results + between))]


@st.composite
def talks(draw: st.DrawFn) -> list[Any]:
    said: list[Any] = [{"role": "user", "content": "Hello."}]
    for piece in draw(st.lists(SAYING | calling(), max_size=4)):
        said += piece
    for odd in draw(st.lists(ODD, max_size=1)):
        said.insert(draw(st.integers(0, len(said))), odd)
    return said


@given(talks())
def test_any_talk_is_one_that_bedrock_takes_or_is_refused(messages: list[dict[str, Any]]):
    try:
        written = sent(SPEECH.target, chat(messages=messages, tools=[WEATHER]))
    except InvalidRequest as refusal:
        note("refused")
        assert refusal.pointer.startswith("/messages")  # noqa: PT017 - either way is right
        return
    note("sent")
    roles = [turn["role"] for turn in written["messages"]]
    assert roles == [("user", "assistant")[number % 2] for number in range(len(roles))]
    for turn in written["messages"]:
        assert turn["content"]
        kinds = ["toolResult" in block for block in turn["content"]]
        assert kinds == sorted(kinds, reverse=True)
        assert all(block["text"].strip() for block in turn["content"] if "text" in block)
    for turn, answer in itertools.zip_longest(written["messages"], written["messages"][1:], fillvalue={"content": []}):
        called = {block["toolUse"]["toolUseId"] for block in turn["content"] if "toolUse" in block}
        assert called == {block["toolResult"]["toolUseId"] for block in answer["content"] if "toolResult" in block}


# ---- what is said


def read(target: Target, request: Request, said: Said) -> tuple[Answer, dict[str, Any], dict[str, Any]]:
    """The answer, and the body of a whole and of a streamed one."""
    headers, whole = SPEECH.whole(said)
    answer = PROVIDER.read(target, request, Reply(200, headers, whole, 0.0, 0.0))
    headers, stream = SPEECH.stream(said)
    reader = PROVIDER.reader(target, request, headers)
    list(reader.feed(stream))
    return answer, orjson.loads(answer.body), orjson.loads(reader.answer().body)


def test_reasoning_comes_out_and_goes_back_with_its_signature():
    _, whole, streamed = read(SPEECH.target, chat(), Said(reasoning="48 / 2 is 24."))
    message = whole["choices"][0]["message"]
    assert message == streamed["choices"][0]["message"]
    assert message["reasoning_content"] == "48 / 2 is 24."

    turns = sent(SPEECH.target, chat(messages=[*MESSAGES, message, {"role": "user", "content": "Sure?"}]))["messages"]
    assert turns[1]["content"][0] == {"reasoningContent": {"reasoningText": {"text": "48 / 2 is 24.", "signature": "c2ln"}}}


def test_reasoning_between_texts_and_calls_goes_back_to_its_place():
    first, second = ({"reasoningContent": {"reasoningText": {"text": text, "signature": "c2ln"}}} for text in ("hm", "so"))
    call = {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {}}}
    content = [first, {"text": "Let me "}, {"text": "see. "}, second, call, {"text": "Wait."}]
    raw = orjson.dumps({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use"})
    message = orjson.loads(PROVIDER.read(SPEECH.target, chat(), Reply(200, {}, raw, 0.0, 0.0)).body)["choices"][0]["message"]

    def back(**changed: Any) -> list[dict[str, Any]]:
        talk = [*MESSAGES, {**message, **changed}, {"role": "tool", "tool_call_id": "t1", "content": "sun"}]
        return sent(SPEECH.target, chat(messages=talk, tools=[WEATHER]))["messages"][1]["content"]

    assert back() == [first, {"text": "Let me see. "}, second, call, {"text": "Wait."}]
    assert back(content="Let me see. No.") == [first, {"text": "Let me see. "}, second, call, {"text": "No."}]
    assert back(content="Hm.") == [first, {"text": "Hm."}, second, call]
    wrong = {"bedrock": {"blocks": [{"text": "many"}]}}
    broken = chat(messages=[*MESSAGES, {**message, "provider_fields": wrong}, MESSAGES[1]])
    assert refused(SPEECH.target, broken).pointer == "/messages/2/provider_fields/bedrock"


def test_reasoning_that_nobody_may_read_goes_back_too():
    start, stop = event("messageStart", {"role": "assistant"}), event("messageStop", {"stopReason": "end_turn"})
    delta = {"contentBlockIndex": 0, "delta": {"reasoningContent": {"redactedContent": "AAEC"}}}
    reader = PROVIDER.reader(SPEECH.target, chat(), {})
    chunks = list(reader.feed(start + event("contentBlockDelta", delta) + event("contentBlockStop", {"contentBlockIndex": 0}) + stop))
    kept = orjson.loads(reader.answer().body)["choices"][0]["message"]["provider_fields"]
    assert kept == {"bedrock": {"blocks": [{"reasoningContent": {"redactedContent": "AAEC"}}]}}
    assert orjson.loads(chunks[-1].data)["choices"][0]["delta"]["provider_fields"] == kept


@pytest.mark.parametrize(
    ("model", "answer_format"),
    [(NOVA, {"type": "json_schema", "json_schema": SCHEMA}), (SPEECH.target.upstream_model, {"type": "json_object"})],
)
def test_json_by_a_forced_tool_comes_out_as_content(model: str, answer_format: dict[str, Any]):
    request = chat(response_format=answer_format)
    config = sent(at(model), request)["toolConfig"]
    assert config["toolChoice"] == {"tool": {"name": "json_answer"}}

    said = Said(pieces=(), tool_calls=(ToolCall("call_1", "json_answer", '{"n":72}'),), finish="tool_calls")
    answer, whole, streamed = read(at(model), request, said)
    for one in (whole, streamed):
        choice = one["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == ('{"n":72}', "stop")
        assert "tool_calls" not in choice["message"]
    assert answer.finish_reason == "stop"


def test_a_schema_goes_where_the_model_has_schemas():
    written = sent(SPEECH.target, chat(response_format={"type": "json_schema", "json_schema": SCHEMA}, tools=[WEATHER]))
    told = written["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert (told["name"], orjson.loads(told["schema"])) == ("answer", SCHEMA["schema"])
    assert "toolChoice" not in written["toolConfig"]


def test_a_text_with_its_sources_is_a_text():
    cited = {"citationsContent": {"content": [{"text": "72 "}, {"text": "clips"}], "citations": []}}
    raw = orjson.dumps({"output": {"message": {"role": "assistant", "content": [cited]}}, "stopReason": "end_turn"})
    answer = PROVIDER.read(SPEECH.target, chat(), Reply(200, {}, raw, 0.0, 0.0))
    assert orjson.loads(answer.body)["choices"][0]["message"]["content"] == answer.text == "72 clips"


@pytest.mark.parametrize("word", ["malformed_tool_use", "model_context_window_exceeded", "something_new"])
def test_a_stop_word_stands_beside_openais(word: str):
    _, raw = SPEECH.whole(Said())
    reply = Reply(200, {}, raw.replace(b"end_turn", word.encode()), 0.0, 0.0)
    choice = orjson.loads(PROVIDER.read(SPEECH.target, chat(), reply).body)["choices"][0]
    assert choice["native_finish_reason"] == word
    assert choice["finish_reason"] == ("length" if "window" in word else "stop")


def test_the_tier_that_was_used_is_billed_and_told():
    for tier, billed in (("priority", "priority"), ("flex", "flex"), ("default", ""), ("reserved", "")):
        answer, whole, streamed = read(SPEECH.target, chat(), Said(usage=Usage(input_tokens=1, output_tokens=2, tier=tier)))
        assert answer.usage == Usage(input_tokens=1, output_tokens=2, tier=billed)
        assert whole["service_tier"] == streamed["service_tier"] == tier


def test_a_stream_without_its_metadata_has_been_cut_whatever_else_came():
    headers, raw = SPEECH.stream(Said())
    reader = PROVIDER.reader(SPEECH.target, chat(), headers)
    list(reader.feed(raw[: raw.index(b"metadata") - TO_NAME]))
    assert orjson.loads(reader.answer().body)["choices"][0]["native_finish_reason"] == "end_turn"
    assert not reader.is_complete
    assert reader.answer().usage is None
    assert reader.answer().text == Said().text


def test_what_came_of_a_tools_arguments_counts_when_a_stream_is_cut():
    _, raw = SPEECH.stream(Said(pieces=(), tool_calls=(ToolCall("call_1", "weather", '{"city":"Oslo"}'),), finish="tool_calls"))
    reader = PROVIDER.reader(SPEECH.target, chat(), {})
    list(reader.feed(raw[: raw.index(b"contentBlockStop") - TO_NAME]))
    assert reader.answer().text == 'weather{"city":"Oslo"}'


def test_who_speaks_ends_no_silence_but_every_piece_of_the_answer_does():
    headers, raw = SPEECH.stream(Said(reasoning="hm, so", tool_calls=(ToolCall("call_1", "weather", "{}"),), finish="tool_calls"))
    first, *others = PROVIDER.reader(SPEECH.target, chat(), headers).feed(raw)
    assert not first.has_content
    assert len(others) > 8
    assert all(chunk.has_content for chunk in others)


def test_a_tool_without_arguments_is_called_with_none():
    start = {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t1", "name": "now"}}}
    reader = PROVIDER.reader(SPEECH.target, chat(), {})
    chunks = list(reader.feed(event("contentBlockStart", start) + event("contentBlockStop", {"contentBlockIndex": 0}) + event("new", {})))
    pieces = [orjson.loads(chunk.data)["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] for chunk in chunks]
    assert "".join(pieces) == "{}"
