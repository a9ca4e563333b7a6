"""What only Gemini has: contents and parts, thought signatures, levels and budgets of thinking, its finish words, its usage."""

import base64
import struct

import orjson
import pytest

from rateguard.engine.errors import ErrorKind, InvalidRequest, ProviderError
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Endpoint, Request, Target
from rateguard.engine.providers.gemini.adapter import GeminiProvider
from rateguard.engine.providers.gemini.signatures import UNSIGNED
from rateguard.engine.providers.gemini.usage import parse_usage
from rateguard.engine.providers.http import HttpClient, Reply
from tests.dialects.cases import HISTORY, PIXEL, WEATHER, body
from tests.dialects.gemini_speech import SPEECH
from tests.dialects.test_dialects import STREAMED, read_in

BASE = "https://generativelanguage.googleapis.com"


def at(model="gemini-3.8-flash", base_url=BASE, **options) -> Target:
    return Target("gemini", base_url, "AIza-secret", model, options=options)


NEW, OLD = at(), at("gemini-2.5-pro")


@pytest.fixture
def gemini():
    return GeminiProvider(HttpClient())


def chat(**fields) -> Request:
    return Request(Endpoint.CHAT, body(**fields), "attempt-1")


def written(gemini, target=NEW, **fields) -> dict:
    return orjson.loads(gemini.write(target, chat(**fields), is_streamed=False).body)


def refusal(gemini, target=NEW, **fields) -> InvalidRequest:
    def ask(request: Request) -> None:
        gemini.check(target, request)
        gemini.write(target, request, is_streamed=False)

    with pytest.raises(InvalidRequest) as raised:
        ask(chat(**fields))
    return raised.value


def answered(gemini, told: dict, request: Request | None = None, headers=None, target=NEW) -> tuple[dict, Usage | None]:
    answer = gemini.read(target, request or chat(), Reply(200, headers or {}, orjson.dumps(told), 0.0, 0.0))
    return orjson.loads(answer.body), answer.usage


def said(*parts: dict, finish="STOP", **more) -> dict:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": finish}], "responseId": "r1", **more}


# ---- addresses


@pytest.mark.parametrize(
    ("target", "url"),
    [
        (NEW, f"{BASE}/v1/models/gemini-3.8-flash:generateContent"),
        (at(api_version="v1beta"), f"{BASE}/v1beta/models/gemini-3.8-flash:generateContent"),
        (at(base_url=f"{BASE}/v1beta/"), f"{BASE}/v1beta/models/gemini-3.8-flash:generateContent"),
        (at("tunedModels/mine"), f"{BASE}/v1/tunedModels/mine:generateContent"),
    ],
)
def test_a_model_is_asked_under_its_path_and_version(gemini, target, url):
    wire = gemini.write(target, chat(), is_streamed=False)
    assert wire.url == url
    assert wire.headers["x-goog-api-key"] == "AIza-secret"


# ---- what is asked


def test_what_the_system_says_is_its_own_field_and_neighbours_of_one_role_are_one_content(gemini):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One"},
        {"role": "user", "content": [{"type": "text", "text": "Two"}, {"type": "text", "text": ""}]},
        {"role": "developer", "content": [{"type": "text", "text": "In French."}]},
        {"role": "assistant", "content": "Un"},
        {"role": "user", "content": "Three"},
    ]
    sent = written(gemini, messages=messages)
    assert sent["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "In French."}]}
    assert sent["contents"] == [
        {"role": "user", "parts": [{"text": "One"}, {"text": "Two"}]},
        {"role": "model", "parts": [{"text": "Un"}]},
        {"role": "user", "parts": [{"text": "Three"}]},
    ]


def test_results_of_tools_stand_together_under_the_names_of_their_functions(gemini):
    contents = written(gemini, OLD, messages=HISTORY, tools=[WEATHER])["contents"]
    assert [(content["role"], len(content["parts"])) for content in contents] == [("user", 1), ("model", 2), ("user", 2), ("user", 1)]
    assert contents[1]["parts"][0] == {"functionCall": {"id": "call_1", "name": "weather", "args": {"city": "Oslo"}}}
    assert contents[2]["parts"][1] == {"functionResponse": {"id": "call_2", "name": "weather", "response": {"output": "sun"}}}


@pytest.mark.parametrize(
    ("content", "response"),
    [
        ('{"rain": true}', {"rain": True}),
        ('{"error": "none"}', {"output": '{"error": "none"}'}),
        ("[1]", {"output": "[1]"}),
        ("{no json", {"output": "{no json"}),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], {"output": "ab"}),
    ],
)
def test_a_result_that_is_an_object_is_handed_over_as_one(gemini, content, response):
    messages = [*HISTORY[:4], {"role": "tool", "tool_call_id": "call_2", "content": content}]
    assert written(gemini, messages=messages)["contents"][2]["parts"][1]["functionResponse"]["response"] == response


def test_a_tool_may_answer_with_an_image_from_gemini_3_on(gemini):
    image = {"type": "image_url", "image_url": {"url": PIXEL}}
    messages = [*HISTORY[:4], {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "see"}, image]}]
    result = written(gemini, messages=messages)["contents"][2]["parts"][1]["functionResponse"]
    assert result["parts"][0]["inlineData"]["mimeType"] == "image/png"
    assert refusal(gemini, OLD, messages=messages).pointer == "/messages/4/content"


def test_schemas_are_handed_on_as_they_are(gemini):
    sent = written(
        gemini, tools=[WEATHER], response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    )
    assert sent["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == WEATHER["function"]["parameters"]
    assert sent["generationConfig"]["responseJsonSchema"] == {"type": "object"}
    assert sent["generationConfig"]["responseMimeType"] == "application/json"


@pytest.mark.parametrize(
    ("choice", "mode", "names"),
    [
        ("none", "NONE", None),
        ("required", "ANY", None),
        ({"type": "function", "function": {"name": "weather"}}, "ANY", ["weather"]),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"function": {"name": "weather"}}]}},
            "VALIDATED",
            ["weather"],
        ),
    ],
)
def test_a_choice_of_tools_is_a_mode(gemini, choice, mode, names):
    config = written(gemini, tools=[WEATHER], tool_choice=choice)["toolConfig"]["functionCallingConfig"]
    assert (config["mode"], config.get("allowedFunctionNames")) == (mode, names)


def test_a_strict_tool_is_validated_and_a_free_choice_says_nothing(gemini):
    strict = {"type": "function", "function": {**WEATHER["function"], "strict": True}}
    assert written(gemini, tools=[strict])["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}
    assert "toolConfig" not in written(gemini, tools=[WEATHER], tool_choice="auto")


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        ("gemini-3.8-flash", "minimal", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", "xhigh", {"thinkingLevel": "XHIGH", "includeThoughts": True}),
        ("gemini-flash-latest", "low", {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-2.5-pro", "medium", {"thinkingBudget": 8192, "includeThoughts": True}),
        ("gemini-2.5-flash-lite", "none", {"thinkingBudget": 0}),
        ("gemini-2.0-flash", "none", None),
    ],
)
def test_an_effort_is_a_level_from_gemini_3_on_and_a_budget_before(gemini, model, effort, thinking):
    assert written(gemini, at(model), reasoning_effort=effort)["generationConfig"].get("thinkingConfig") == thinking


@pytest.mark.parametrize(
    ("model", "effort"), [("gemini-2.5-pro", "none"), ("gemini-3.8-flash", "none"), ("gemini-2.5-pro", "xhigh"), ("gemma-3-27b", "low")]
)
def test_an_effort_that_a_model_has_not_is_refused_before_anything_is_sent(gemini, model, effort):
    found = refusal(gemini, at(model), reasoning_effort=effort)
    assert (found.code, found.pointer) == ("unsupported_by_provider", "/reasoning_effort")


def test_a_deployment_says_what_its_models_name_does_not(gemini):
    tuned = at("tunedModels/mine", generation=2.5, safety_settings=[{"category": "X", "threshold": "OFF"}])
    sent = written(gemini, tuned, reasoning_effort="low")
    assert sent["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 1_024
    assert sent["safetySettings"] == [{"category": "X", "threshold": "OFF"}]


def test_what_is_zero_stays_zero(gemini):
    config = written(gemini, temperature=0, top_p=0.0, seed=0, presence_penalty=0)["generationConfig"]
    assert (config["temperature"], config["topP"], config["seed"], config["presencePenalty"]) == (0, 0.0, 0, 0)


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://a.example/b.jpg?x=1"}},
            ("fileData", "image/jpeg", "https://a.example/b.jpg?x=1"),
        ),
        ({"type": "image_url", "image_url": {"url": "gs://b/c", "format": "image/webp"}}, ("fileData", "image/webp", "gs://b/c")),
        ({"type": "file", "file": {"filename": "a.pdf", "file_data": "JVBERi0="}}, ("inlineData", "application/pdf", "JVBERi0=")),
        (
            {"type": "file", "file": {"file_id": f"{BASE}/v1/files/x", "format": "text/plain"}},
            ("fileData", "text/plain", f"{BASE}/v1/files/x"),
        ),
        ({"type": "input_audio", "input_audio": {"data": "UklG", "format": "mp3"}}, ("inlineData", "audio/mp3", "UklG")),
    ],
)
def test_a_file_has_a_kind(gemini, part, sent):
    parts = written(gemini, messages=[{"role": "user", "content": [part]}])["contents"][0]["parts"]
    name, kind, value = sent
    assert parts == [{name: {"mimeType": kind, ("data" if name == "inlineData" else "fileUri"): value}}]


_IMAGE = "/messages/0/content/0/image_url"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"messages": [{"role": "system", "content": "Be brief."}]}, "/messages"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "/messages/0/role"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "/messages/0/content/0/type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b"}}]}]},
            f"{_IMAGE}/url",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png,x"}}]}]}, f"{_IMAGE}/url"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}]},
            "/messages/0/content/0/cache_control",
        ),
        ({"messages": [{"role": "tool", "tool_call_id": "call_9", "content": "x"}]}, "/messages/0/tool_call_id"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]}, HISTORY[1]]},
            "/messages/0/tool_calls/0/function/arguments",
        ),
        ({"messages": [*HISTORY[:1], {"role": "assistant", "function_call": {"name": "x"}}, *HISTORY[1:]]}, "/messages/1/function_call"),
        ({"messages": [{"role": "user", "name": "ann", "content": "x"}]}, "/messages/0/name"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}, HISTORY[1]]}, "/messages/0/audio"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "/tools/0/type"),
        ({"functions": [WEATHER["function"]]}, "/functions"),
        ({"modalities": ["text", "audio"]}, "/modalities/1"),
        ({"audio": {"voice": "alloy", "format": "wav"}}, "/audio"),
        ({"service_tier": "scale"}, "/service_tier"),
        ({"web_search_options": {"search_context_size": "low"}}, "/web_search_options/search_context_size"),
        ({"store": True}, "/store"),
        ({"nonsense": 1}, "/nonsense"),
    ],
)
def test_what_gemini_has_no_word_for_is_refused_by_its_place(gemini, fields, pointer):
    found = refusal(gemini, **fields)
    assert found.pointer == pointer
    assert "secret" not in str(found)


def test_what_asks_for_nothing_is_let_through(gemini):
    quiet = {
        "user": "u",
        "store": False,
        "metadata": {},
        "logit_bias": {},
        "parallel_tool_calls": True,
        "verbosity": "medium",
        "seed": None,
    }
    assert written(gemini, **quiet) == written(gemini)


# ---- thought signatures


def test_thought_signatures_go_back_where_they_came_from(gemini):
    call = {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}, "thoughtSignature": "c2ln"}
    told = said({"text": "Hm", "thought": True}, {"text": "Let me "}, {"text": "see.", "thoughtSignature": "dGV4dA=="}, call)
    message = answered(gemini, told)[0]["choices"][0]["message"]

    again = written(gemini, messages=[{"role": "user", "content": "?"}, message])["contents"][1]["parts"]

    assert again[:2] == [{"text": "Let me "}, {"text": "see.", "thoughtSignature": "dGV4dA=="}]
    assert again[2]["thoughtSignature"] == "c2ln"
    assert again[2]["functionCall"]["args"] == {"city": "Oslo"}


def test_a_stream_hands_signatures_out_with_its_end_as_the_whole_answer_does(gemini):
    pieces = [
        {"candidates": [{"content": {"parts": [{"text": "Let me "}]}}], "responseId": "r1"},
        {"candidates": [{"content": {"parts": [{"text": "see."}]}}]},
        {"candidates": [{"content": {"parts": [{"text": "", "thoughtSignature": "dGV4dA=="}]}, "finishReason": "STOP"}]},
    ]
    reader = gemini.reader(NEW, chat(**STREAMED), {})
    chunks = read_in(reader, [b"".join(b"data: " + orjson.dumps(piece) + b"\n\n" for piece in pieces)])
    last = orjson.loads(chunks[-1].data)["choices"][0]["delta"]
    message = orjson.loads(reader.answer().body)["choices"][0]["message"]
    assert last["provider_fields"] == message["provider_fields"]
    again = written(gemini, messages=[{"role": "user", "content": "?"}, message])["contents"][1]["parts"]
    assert again == [{"text": "Let me see."}, {"text": "", "thoughtSignature": "dGV4dA=="}]


def test_signatures_of_a_text_that_the_caller_changed_mean_nothing(gemini):
    fields = {"gemini": {"signatures": [{"start": 0, "end": 40, "signature": "c2ln"}]}}
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "short", "provider_fields": fields}]
    assert written(gemini, messages=messages)["contents"][1]["parts"] == [{"text": "short"}]


def test_calls_of_another_model_are_marked_as_unsigned_where_gemini_wants_a_signature(gemini):
    new, old = (written(gemini, target, messages=HISTORY)["contents"][1]["parts"] for target in (NEW, OLD))
    assert [part.get("thoughtSignature") for part in new] == [UNSIGNED, None]
    assert [part.get("thoughtSignature") for part in old] == [None, None]


def test_parts_for_which_openai_has_no_word_are_kept_and_go_back(gemini):
    image = {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}
    message = answered(gemini, said({"text": "Here:"}, image))[0]["choices"][0]["message"]
    again = written(gemini, messages=[{"role": "user", "content": "?"}, message])["contents"][1]["parts"]
    assert again == [{"text": "Here:"}, image]


# ---- what is answered


def test_calls_without_an_id_get_one_that_is_the_same_whenever_they_are_read(gemini):
    call = {"functionCall": {"name": "now"}}
    first, second = (answered(gemini, said(call, call))[0]["choices"][0] for _ in range(2))
    assert [one["id"] for one in first["message"]["tool_calls"]] == ["call_r1_0", "call_r1_1"]
    assert first == second
    assert first["finish_reason"] == "tool_calls"
    assert first["message"]["tool_calls"][0]["function"] == {"name": "now", "arguments": "{}"}


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("MAX_TOKENS", "length"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "stop"),
        ("A_WORD_OF_NEXT_YEAR", "stop"),
    ],
)
def test_the_raw_word_of_the_end_stands_beside_openais(gemini, word, finish):
    choice = answered(gemini, said({"text": "x"}, finish=word))[0]["choices"][0]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == (finish, word)


def test_a_blocked_prompt_is_a_result_that_says_why_and_what_it_cost(gemini):
    told = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}}
    whole, usage = answered(gemini, told)
    choice = whole["choices"][0]
    assert (choice["finish_reason"], choice["native_finish_reason"], choice["message"]["content"]) == ("content_filter", "SAFETY", None)
    assert "SAFETY" in choice["message"]["refusal"]
    assert usage == Usage(input_tokens=9)

    reader = gemini.reader(NEW, chat(**STREAMED), {})
    chunks = read_in(reader, [b"data: " + orjson.dumps(told) + b"\r\n\r\n", b"data: " + orjson.dumps({"usageMetadata": {}}) + b"\r\n\r\n"])
    assert reader.is_complete
    assert [len(orjson.loads(chunk.data)["choices"]) for chunk in chunks] == [1, 0]
    assert reader.answer().finish_reason == "content_filter"


def test_broken_remains_behind_the_end_change_nothing(gemini):
    reader = gemini.reader(NEW, chat(), {})
    read_in(reader, [b"data: " + orjson.dumps(said({"text": "x"})) + b'\r\n\r\ndata: {"cand'])
    assert reader.is_complete
    assert reader.answer().finish_reason == "stop"


def test_without_events_a_stream_is_one_array(gemini):
    pieces = [{"candidates": [{"content": {"parts": [{"text": text}]}}], "responseId": "r1"} for text in ("a", "b")]
    raw = b"[" + b",\r\n".join(orjson.dumps(one, option=orjson.OPT_INDENT_2) for one in (*pieces, said({"text": "c"}))) + b"\n]"
    reader = gemini.reader(NEW, chat(), {})
    assert "".join(chunk.text for chunk in read_in(reader, [raw[:40], raw[40:]])) == "abc"
    assert reader.is_complete


def test_an_answer_without_a_candidate_is_none(gemini):
    with pytest.raises(ProviderError) as raised:
        answered(gemini, {"usageMetadata": {"totalTokenCount": 3}})
    assert (raised.value.kind, raised.value.may_be_billed) == (ErrorKind.SERVER, True)


def test_several_choices_are_several_candidates(gemini):
    told = {"candidates": [{"index": index, "content": {"parts": [{"text": str(index)}]}, "finishReason": "STOP"} for index in (0, 1)]}
    assert [choice["message"]["content"] for choice in answered(gemini, told)[0]["choices"]] == ["0", "1"]
    reader = gemini.reader(NEW, chat(n=2), {})
    read_in(reader, [b"data: " + orjson.dumps({"candidates": [told["candidates"][0], {"index": 1, "content": {}}]}) + b"\n\n"])
    assert not reader.is_complete


def test_logprobs_come_out_in_openais_shape(gemini):
    chosen, other = {"token": "é", "logProbability": -0.1, "tokenId": 7}, {"token": "e", "logProbability": -2.5}
    result = {"chosenCandidates": [chosen], "topCandidates": [{"candidates": [chosen, other]}]}
    told = said({"text": "é"})
    told["candidates"][0]["logprobsResult"] = result
    entry = answered(gemini, told)[0]["choices"][0]["logprobs"]["content"][0]
    assert (entry["token"], entry["logprob"], entry["bytes"]) == ("é", -0.1, [195, 169])
    assert [top["token"] for top in entry["top_logprobs"]] == ["é", "e"]


def test_sources_of_a_search_are_annotations_by_characters_and_searches_are_counted(gemini):
    grounding = {
        "webSearchQueries": ["a", "b"],
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
        "groundingSupports": [{"segment": {"startIndex": 5, "endIndex": 8}, "groundingChunkIndices": [0, 7]}],
    }
    told = said({"text": "Été sec"}, usageMetadata={"promptTokenCount": 5, "toolUsePromptTokenCount": 90, "totalTokenCount": 100})
    told["candidates"][0]["groundingMetadata"] = grounding
    whole, usage = answered(gemini, told)
    citation = whole["choices"][0]["message"]["annotations"][0]["url_citation"]
    assert citation == {"url": "https://a.example", "title": "A", "start_index": 3, "end_index": 6}
    assert usage == Usage(input_tokens=5, output_tokens=5, searches=2)
    assert answered(gemini, told, target=OLD)[1] == Usage(input_tokens=5, output_tokens=5, searches=1)


# ---- usage


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({}, Usage()),
        (
            {"promptTokenCount": 8, "candidatesTokenCount": 3, "thoughtsTokenCount": 4},
            Usage(input_tokens=8, output_tokens=7, reasoning_tokens=4),
        ),
        (
            {"promptTokenCount": 8, "candidatesTokenCount": 7, "thoughtsTokenCount": 4, "totalTokenCount": 15},
            Usage(input_tokens=8, output_tokens=7, reasoning_tokens=4),
        ),
        ({"promptTokenCount": 8, "toolUsePromptTokenCount": 5, "totalTokenCount": 20}, Usage(input_tokens=13, output_tokens=7)),
        ({"promptTokenCount": 8, "cachedContentTokenCount": 6, "totalTokenCount": 8}, Usage(input_tokens=2, cached_tokens=6)),
        (
            {
                "promptTokenCount": 90,
                "cachedContentTokenCount": 40,
                "totalTokenCount": 100,
                "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 70}, {"modality": "TEXT", "tokenCount": 20}],
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 40}],
                "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 10}],
            },
            Usage(input_tokens=50, cached_tokens=40, output_tokens=10, audio_input_tokens=30, audio_output_tokens=10),
        ),
        ({"promptTokenCount": 1, "trafficType": "ON_DEMAND_PRIORITY"}, Usage(input_tokens=1, tier="priority")),
        ({"promptTokenCount": 1, "trafficType": "PROVISIONED_THROUGHPUT"}, Usage(input_tokens=1)),
        ({"promptTokenCount": 1, "serviceTier": "flex"}, Usage(input_tokens=1, tier="flex")),
    ],
)
def test_usage_is_what_is_billed(told, usage):
    assert parse_usage(told) == usage


@pytest.mark.parametrize(
    ("header", "asked", "tier"),
    [("standard", "priority", ""), ("priority", "priority", "priority"), (None, "flex", "flex"), (None, "default", "")],
)
def test_the_tier_that_was_used_goes_before_the_one_that_was_asked_for(gemini, header, asked, tier):
    headers = {"x-gemini-service-tier": header} if header else {}
    told = said({"text": "x"}, usageMetadata={"promptTokenCount": 1, "totalTokenCount": 2})
    assert answered(gemini, told, chat(service_tier=asked), headers)[1].tier == tier


# ---- embeddings, counts, models


@pytest.mark.parametrize("texts", ["one", ["one", "two"]])
def test_embeddings_are_asked_for_together_and_come_out_as_openais(gemini, texts):
    target = at("gemini-embedding-2", task_type="RETRIEVAL_QUERY")
    request = Request(Endpoint.EMBEDDINGS, {"model": "m", "input": texts, "dimensions": 2, "encoding_format": "base64"}, "a")
    wire = gemini.write(target, request, is_streamed=False)
    asked = orjson.loads(wire.body)["requests"]
    count = len(asked)
    assert wire.url.endswith("/models/gemini-embedding-2:batchEmbedContents")
    assert count == (1 if texts == "one" else 2)
    assert asked[0] == {
        "model": "models/gemini-embedding-2",
        "content": {"parts": [{"text": "one"}]},
        "taskType": "RETRIEVAL_QUERY",
        "outputDimensionality": 2,
    }

    told = {"embeddings": [{"values": [0.5, -2.0]}] * count, "usageMetadata": {"promptTokenCount": 3}}
    answer = gemini.read(target, request, Reply(200, {}, orjson.dumps(told), 0.0, 0.0))
    whole = orjson.loads(answer.body)
    assert answer.usage == Usage(input_tokens=3)
    assert [struct.unpack("<2f", base64.b64decode(one["embedding"])) for one in whole["data"]] == [(0.5, -2.0)] * count


@pytest.mark.parametrize(("fields", "pointer"), [({"input": [[1, 2]]}, "/input/0"), ({"input": "x", "nonsense": 1}, "/nonsense")])
def test_tokens_cannot_be_embedded(gemini, fields, pointer):
    with pytest.raises(InvalidRequest) as raised:
        gemini.write(NEW, Request(Endpoint.EMBEDDINGS, fields, "a"), is_streamed=False)
    assert raised.value.pointer == pointer


def test_embeddings_without_usage_are_counted_by_us(gemini):
    request = Request(Endpoint.EMBEDDINGS, {"input": "x"}, "a")
    assert gemini.read(NEW, request, Reply(200, {}, b'{"embeddings":[{"values":[1.0]}]}', 0.0, 0.0)).usage is None


def test_the_question_of_a_count_is_the_whole_request(gemini):
    wire = gemini.write_count(NEW, chat(tools=[WEATHER]))
    asked = orjson.loads(wire.body)["generateContentRequest"]
    assert wire.url.endswith("models/gemini-3.8-flash:countTokens")
    assert {"model", "contents", "systemInstruction", "tools", "generationConfig"} == set(asked)
    assert gemini.read_count(NEW, Reply(200, {}, b'{"totalTokens": 31}', 0.0, 0.0)) == 31


def test_its_models_are_listed_by_the_names_that_a_deployment_has(gemini):
    probe = gemini.probe(NEW)
    assert probe.url.startswith(f"{BASE}/v1/models?")
    assert probe.names(b'{"models":[{"name":"models/gemini-b"},{"name":"models/gemini-a"}]}') == ("gemini-a", "gemini-b")
    assert probe.names(b"<html>") == ()


def test_no_error_tells_a_key(gemini):
    told = b'{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"key AIzaSyOtherKey0123456789 of AIza-secret"}}'
    error = gemini.error(NEW, 400, {}, told)
    assert "AIza" not in str(error)
    assert SPEECH.target.api_key not in repr(error)
