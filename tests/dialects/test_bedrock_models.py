"""Bedrock's embeddings, and what differs between its models."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from rateguard.engine.errors import ConfigurationError, InvalidRequest, ProviderError
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Endpoint, Request, Target
from rateguard.engine.providers.bedrock.limits import admission_of
from rateguard.engine.providers.bedrock.models import base_id
from rateguard.engine.providers.http import Reply
from tests.dialects.cases import PIXEL, WEATHER
from tests.dialects.converse import LLAMA, NOVA, OPUS_4_7, PROVIDER, SONNET_3_7, at, chat, refused, sent, validated

TITAN, COHERE = "amazon.titan-embed-text-v2:0", "cohere.embed-multilingual-v3"


def embedding(**fields: Any) -> Request:
    return Request(Endpoint.EMBEDDINGS, {"model": "m", **fields}, "attempt-1")


def written_embedding(target: Target, request: Request) -> dict[str, Any]:
    PROVIDER.check(target, request)
    wire = PROVIDER.write(target, request, is_streamed=False)
    assert wire.url.endswith("/invoke")
    return orjson.loads(wire.body)


def test_embeddings_are_written_in_each_familys_words():
    assert written_embedding(at(TITAN), embedding(input=["one"], dimensions=256)) == {"inputText": "one", "dimensions": 256}
    cohere = written_embedding(at(COHERE, truncate="END"), embedding(input=["a", "b"]))
    assert cohere == {"texts": ["a", "b"], "input_type": "search_document", "embedding_types": ["float"], "truncate": "END"}
    query = written_embedding(at("us.cohere.embed-v4:0"), embedding(input="q", input_type="search_query", dimensions=512))
    assert (query["input_type"], query["output_dimension"]) == ("search_query", 512)


def test_embeddings_are_read_with_what_they_cost():
    said = orjson.dumps({"embedding": [0.5, -1.0], "inputTextTokenCount": 3})
    answer = PROVIDER.read(at(TITAN), embedding(input="a"), Reply(200, {}, said, 0.0, 0.0))
    assert answer.usage == Usage(input_tokens=3)
    assert orjson.loads(answer.body)["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}]

    for vectors in ([[0.5], [1.0]], {"float": [[0.5], [1.0]]}):
        reply = Reply(200, {"x-amzn-bedrock-input-token-count": "7"}, orjson.dumps({"embeddings": vectors}), 0.0, 0.0)
        answer = PROVIDER.read(at(COHERE), embedding(input=["a", "b"], encoding_format="base64"), reply)
        assert answer.usage == Usage(input_tokens=7)
        assert [one["embedding"] for one in orjson.loads(answer.body)["data"]] == ["AAAAPw==", "AACAPw=="]
    assert PROVIDER.read(at(COHERE), embedding(input="a"), Reply(200, {}, said.replace(b"inputText", b"x"), 0.0, 0.0)).usage is None
    with pytest.raises(ProviderError, match="no embeddings"):
        PROVIDER.read(at(COHERE), embedding(input="a"), Reply(200, {}, b"{}", 0.0, 0.0))


@pytest.mark.parametrize(
    ("model", "fields", "pointer"),
    [
        (TITAN, {"input": ["one", "two"]}, "/input/1"),
        (TITAN, {"input": [1, 2]}, "/input"),
        (TITAN, {"input": "a", "input_type": "search_query"}, "/input_type"),
        ("amazon.titan-embed-text-v1", {"input": "a", "dimensions": 256}, "/dimensions"),
        (COHERE, {"input": "a", "dimensions": 256}, "/dimensions"),
        (COHERE, {"input": ["a"] * 97}, "/input"),
        (COHERE, {"input": "a", "encoding_format": "int8"}, "/encoding_format"),
        (COHERE, {"input": "a", "odd": 1}, "/odd"),
        (NOVA, {"input": "a"}, ""),
    ],
)
def test_embeddings_that_cannot_be_had_are_refused(model: str, fields: dict[str, Any], pointer: str):
    with pytest.raises(InvalidRequest) as raised:
        written_embedding(at(model), embedding(**fields))
    assert raised.value.pointer == pointer


# ---- models and limits


def test_tokens_are_counted_on_demand_without_what_is_no_input():
    wire = PROVIDER.write_count(at(SONNET_3_7), chat(tools=[WEATHER], top_k=5, temperature=0))
    asked = orjson.loads(wire.body)
    report = validated("CountTokens", {"modelId": SONNET_3_7, **asked})
    assert not report.has_errors(), report.generate_report()
    assert wire.url.endswith("/count-tokens")
    assert list(asked["input"]["converse"]) == ["messages", "system", "toolConfig", "additionalModelRequestFields"]
    assert PROVIDER.read_count(Reply(200, {}, b'{"inputTokens":12}', 0.0, 0.0)) == 12
    for body in (b"{}", b'{"inputTokens":-1}', b'{"inputTokens":true}', b"x"):
        with pytest.raises(ProviderError):
            PROVIDER.read_count(Reply(200, {}, body, 0.0, 0.0))


@pytest.mark.parametrize(
    ("model", "permille"),
    [
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", 1_000),
        (SONNET_3_7, 5_000),
        ("us.anthropic.claude-opus-4-20250514-v1:0", 5_000),
        ("global.anthropic.claude-haiku-4-5-20251001-v1:0", 5_000),
        (OPUS_4_7, 5_000),
        ("jp.anthropic.claude-opus-4-8", 15_000),
        ("au.anthropic.claude-sonnet-5", 10_000),
        ("anthropic.claude-sonnet-5-5", 1_000),
        ("openai.gpt-5.6-sol", 10_000),
        (NOVA, 1_000),
    ],
)
def test_a_token_of_output_takes_as_much_quota_as_its_model_burns(model: str, permille: int):
    admission = admission_of(model, {})
    assert admission.output_permille == permille
    assert (admission.counts_max_tokens, admission.counts_cached, admission.gives_back) == (True, False, True)
    assert admission_of(model, {"output_permille": 7_000}).output_permille == 7_000
    for nonsense in (0, True, "many"):
        assert admission_of(model, {"output_permille": nonsense}).output_permille == permille


def test_what_stands_behind_an_id_is_found_or_told():
    assert base_id("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0") == NOVA
    opaque = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
    assert refused(at(opaque), chat(top_k=1)).pointer == "/top_k"
    assert sent(at(opaque, base_model=SONNET_3_7), chat(top_k=1))["additionalModelRequestFields"] == {"top_k": 1}


@pytest.mark.parametrize("model", [SONNET_3_7, NOVA])
def test_an_option_says_otherwise_what_a_model_can(model: str):
    assert refused(at(model, capabilities={"images": False}), ask_for_an_image()).code == "unsupported_by_provider"
    sent(at(model), ask_for_an_image())
    with pytest.raises(ConfigurationError, match="capabilities"):
        sent(at(model, capabilities={"magic": True}), chat())


@pytest.mark.parametrize(
    ("feature", "fields"), [("reasoning", {"reasoning_effort": "low"}), ("top_k", {"top_k": 5}), ("seed", {"seed": 1})]
)
def test_an_option_brings_no_words_that_converse_lacks(feature: str, fields: dict[str, Any]):
    assert refused(at(LLAMA, capabilities={feature: True}), chat(**fields)).pointer == f"/{next(iter(fields))}"


def ask_for_an_image() -> Request:
    return chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}])
