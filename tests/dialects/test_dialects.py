"""Every dialect holds to the same table: what it says comes out in OpenAI's shape, whole or streamed, wherever the network cuts it."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from collections.abc import Iterable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.dialects
from rateguard.engine.errors import InvalidRequest, ProviderError
from rateguard.engine.providers.base import Chunk, Endpoint, Request
from rateguard.engine.providers.capabilities import Feature
from rateguard.engine.providers.http import HttpClient, Reply
from rateguard.engine.providers.provider import Provider, Reader
from tests.dialects.cases import ASKS, HISTORY, SAID, WEATHER, body
from tests.dialects.speech import Said, Speech

SPEECHES: dict[str, Speech] = {
    name.removesuffix("_speech"): importlib.import_module(f"tests.dialects.{name}").SPEECH
    for _, name, _ in pkgutil.iter_modules(tests.dialects.__path__)
    if name.endswith("_speech")
}
SPOKEN = [
    pytest.param(speech, said, id=f"{name}-{case}")
    for name, speech in SPEECHES.items()
    for case, said in SAID.items()
    if case not in speech.lacks
]
ERRORS = [pytest.param(speech, wrong, id=f"{name}-{case}") for name, speech in SPEECHES.items() for case, wrong in speech.errors().items()]
BROKEN = [
    pytest.param(speech, data, kind, id=f"{name}-{case}")
    for name, speech in SPEECHES.items()
    for case, (data, kind) in speech.errors_in_stream().items()
]
ALL = [pytest.param(speech, id=name) for name, speech in SPEECHES.items()]
ASKED = [pytest.param(speech, feature, id=f"{name}-{feature}") for name, speech in SPEECHES.items() for feature in Feature]
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


def provider_of(speech: Speech) -> Provider:
    return speech.provider(HttpClient())


def chat(**fields: object) -> Request:
    return Request(Endpoint.CHAT, body(**fields), "attempt-1")


def reader_of(speech: Speech, headers: dict[str, str]) -> Reader:
    return provider_of(speech).reader(speech.target, chat(**STREAMED), headers)


def read_in(reader: Reader, pieces: Iterable[bytes]) -> list[Chunk]:
    chunks = [chunk for piece in pieces for chunk in reader.feed(piece)]
    return [*chunks, *reader.finish()]


def check_message(message: dict, said: Said) -> None:
    assert (message["content"] or "") == said.text
    calls = [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or ()]
    assert [(one, name, orjson.loads(arguments)) for one, name, arguments in calls] == [
        (call.id, call.name, orjson.loads(call.arguments)) for call in said.tool_calls
    ]
    assert (message.get("reasoning_content") or "") == said.reasoning


def check_usage(answer: dict, said: Said) -> None:
    usage = answer["usage"]
    assert usage["prompt_tokens"] == said.usage.all_input_tokens
    assert usage["completion_tokens"] == said.usage.output_tokens
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert ((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0) == said.usage.cached_tokens


@pytest.mark.parametrize(("speech", "said"), SPOKEN)
def test_a_whole_answer_comes_out_in_openais_shape(speech: Speech, said: Said):
    headers, raw = speech.whole(said)

    answer = provider_of(speech).read(speech.target, chat(), Reply(200, headers, raw, 0.0, 0.0))

    whole = orjson.loads(answer.body)
    assert (answer.usage, answer.finish_reason) == (said.usage, said.finish)
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["finish_reason"] == said.finish
    check_message(whole["choices"][0]["message"], said)
    check_usage(whole, said)


@pytest.mark.parametrize(("speech", "said"), SPOKEN)
def test_a_stream_says_the_same_wherever_the_network_cuts_it(speech: Speech, said: Said):
    headers, raw = speech.stream(said)

    @given(st.lists(st.integers(0, len(raw)), max_size=12))
    def check(cuts: list[int]) -> None:
        reader, places = reader_of(speech, headers), [0, *sorted(cuts), len(raw)]
        chunks = read_in(reader, (raw[start:end] for start, end in itertools.pairwise(places)))
        answer = reader.answer()
        whole = orjson.loads(answer.body)
        assert reader.is_complete
        assert (answer.usage, answer.finish_reason) == (said.usage, said.finish)
        assert "".join(chunk.text for chunk in chunks) == said.text
        check_message(whole["choices"][0]["message"], said)
        check_usage(whole, said)
        shown = [orjson.loads(chunk.data) for chunk in chunks]
        assert all(chunk["object"] == "chat.completion.chunk" for chunk in shown)
        assert len({chunk["id"] for chunk in shown}) == 1
        assert shown[-1]["usage"]["completion_tokens"] == said.usage.output_tokens

    check()


@pytest.mark.parametrize("speech", ALL)
def test_a_stream_that_just_ends_is_never_taken_for_an_answer(speech: Speech):
    headers, raw = speech.stream(SAID["plain"])

    for end in range(len(raw)):
        reader = reader_of(speech, headers)
        try:
            chunks = read_in(reader, [raw[:end]])
        except ProviderError as error:
            assert error.may_be_billed  # noqa: PT017 - most places of a cut raise, some do not
            continue
        if reader.is_complete:  # only what says nothing more was cut off
            assert "".join(chunk.text for chunk in chunks) == SAID["plain"].text
        reader.answer()


@pytest.mark.parametrize(("speech", "data", "kind"), BROKEN)
def test_an_error_within_a_stream_is_known(speech: Speech, data: bytes, kind: object):
    headers, _ = speech.stream(SAID["plain"])
    with pytest.raises(ProviderError) as raised:
        read_in(reader_of(speech, headers), [data])
    assert raised.value.kind == kind
    assert raised.value.may_be_billed


@pytest.mark.parametrize(("speech", "wrong"), ERRORS)
def test_each_error_means_what_the_provider_means(speech: Speech, wrong):
    key = speech.target.api_key
    error = provider_of(speech).error(speech.target, wrong.status, wrong.headers, wrong.body.replace(b"{key}", key.encode()))
    assert error.kind == wrong.kind
    assert error.retry_after_ms == wrong.retry_after_ms
    assert wrong.cools is None or error.cools == wrong.cools
    assert key not in str(error)


@pytest.mark.parametrize(("speech", "feature"), ASKED)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_what_is_asked_for_is_sent_or_refused_but_never_dropped(speech: Speech, feature: Feature, is_streamed: bool):
    provider, asking, without = provider_of(speech), Request(Endpoint.CHAT, ASKS[feature], "attempt-1"), chat()
    if feature in {Feature.FORCED_TOOL, Feature.PARALLEL_TOOL_CALLS}:
        without = chat(tools=[WEATHER])
    if feature not in provider.capabilities_of(speech.target).features:
        with pytest.raises(InvalidRequest) as raised:
            provider.check(speech.target, asking)
        assert raised.value.code == "unsupported_by_provider"
        assert raised.value.pointer
        return
    provider.check(speech.target, asking)
    sent, plain = (provider.write(speech.target, one, is_streamed=is_streamed) for one in (asking, without))
    assert (sent.body, dict(sent.headers)) != (plain.body, dict(plain.headers))


@pytest.mark.parametrize("speech", ALL)
def test_a_talk_with_tools_is_written_with_calls_and_results(speech: Speech):
    wire = provider_of(speech).write(speech.target, chat(messages=HISTORY, tools=[WEATHER]), is_streamed=False)
    sent = wire.body.decode()
    for word in ("Be brief.", "Oslo", "Zürich", "rain", "sun", "And now?", "call_1", "call_2"):
        assert word in sent or speech.lacks.get(f"history:{word}"), word


@pytest.mark.parametrize("speech", ALL)
def test_the_key_is_in_no_repr(speech: Speech):
    wire = provider_of(speech).write(speech.target, chat(), is_streamed=False)
    assert speech.target.api_key not in repr(wire) + repr(speech.target)


@pytest.mark.parametrize("speech", ALL)
def test_an_endpoint_that_a_provider_lacks_is_refused(speech: Speech):
    provider = provider_of(speech)
    for endpoint in set(Endpoint) - provider.capabilities_of(speech.target).endpoints:
        with pytest.raises(InvalidRequest) as raised:
            provider.check(speech.target, Request(endpoint, {"model": "m", "input": "x"}, "a"))
        assert raised.value.code == "unsupported_by_provider"
