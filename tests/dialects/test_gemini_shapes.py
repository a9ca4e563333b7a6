"""Whatever stands where something else should: a request is refused in words, an answer is malformed, and nothing else is raised."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from rateguard.engine.errors import InvalidRequest, ProviderError
from rateguard.engine.providers.base import Endpoint, Request, Target
from rateguard.engine.providers.gemini.adapter import GeminiProvider
from rateguard.engine.providers.http import HttpClient, Reply
from tests.dialects.cases import ASKS, HISTORY, SAID, WEATHER, body
from tests.dialects.gemini_speech import SPEECH

TARGET = Target("gemini", "https://generativelanguage.googleapis.com", "AIza-secret", "gemini-3.8-flash")
ELSE: list[Any] = [None, 0, -1, 1.5, True, "", "x", [], [1], {}, {"a": 1}, [None], [[]], [{}], {"type": "function"}, {"type": "text"}]
BACK = {"signatures": [{"start": 0, "end": 2, "signature": "s"}, {"call": "c", "signature": "t"}], "parts": [{"a": 1}]}
SPOKEN_BACK = {"role": "assistant", "content": "abc", "provider_fields": {"gemini": BACK}}
CHOICE = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}}


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Each place in a JSON value."""
    yield before
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in entries:
        yield from places(one, (*before, name))


def with_other(value: Any, place: tuple[Any, ...], other: Any) -> Any:
    """The value with something else at that place."""
    if not place:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = with_other(copy[place[0]], place[1:], other)
    return copy


def variants(value: Any) -> Iterator[Any]:
    for place in places(value):
        for other in ELSE:
            yield with_other(value, place, other)


@pytest.fixture
def gemini():
    return GeminiProvider(HttpClient())


def test_a_request_of_another_shape_is_refused_in_words(gemini):
    talks = [body(messages=HISTORY, tools=[WEATHER], tool_choice=CHOICE), body(messages=[HISTORY[1], SPOKEN_BACK, HISTORY[1]])]
    asks = [*ASKS.values(), body(modalities=["text"], web_search_options={}, service_tier="flex"), *talks]
    taken, refusals = 0, []
    for asked in (variant for ask in asks for variant in variants({**ask, "max_tokens": 1})):
        if not isinstance(asked, dict):
            continue
        request = Request(Endpoint.CHAT, asked, "a")
        try:
            gemini.check(TARGET, request)
            gemini.write(TARGET, request, is_streamed=False)
            taken += 1
        except InvalidRequest as error:
            refusals.append(error)
    assert taken > 500
    assert len(refusals) > 500
    assert all(pointer.startswith("/") for refusal in refusals for pointer, _ in refusal.errors)


def full_answer() -> dict[str, Any]:
    """An answer with all that one can have."""
    told = orjson.loads(SPEECH.whole(SAID["tools_behind_text"])[1])
    candidate = told["candidates"][0]
    candidate["content"]["parts"].append({"text": "x", "thoughtSignature": "s", "thought": True})
    support = {"segment": {"startIndex": 1, "endIndex": 2}, "groundingChunkIndices": [0]}
    chunks = [{"web": {"uri": "u", "title": "t"}}]
    candidate["groundingMetadata"] = {"webSearchQueries": ["a"], "groundingChunks": chunks, "groundingSupports": [support]}
    token = {"token": "a", "logProbability": -1}
    candidate["logprobsResult"] = {"chosenCandidates": [token], "topCandidates": [{"candidates": [token]}]}
    told["usageMetadata"]["promptTokensDetails"] = [{"modality": "AUDIO", "tokenCount": 1}]
    return {**told, "promptFeedback": {"blockReason": "X"}}


def test_an_answer_of_another_shape_is_malformed_and_what_came_can_be_put_together(gemini):
    request, read, malformed = Request(Endpoint.CHAT, body(), "a"), 0, []
    for told in variants(full_answer()):
        raw, reader = orjson.dumps(told), gemini.reader(TARGET, request, {})
        for take in (
            lambda raw=raw: gemini.read(TARGET, request, Reply(200, {}, raw, 0.0, 0.0)),
            lambda raw=raw, reader=reader: [*reader.feed(b"data: " + raw + b"\n\n"), *reader.finish()],
        ):
            try:
                take()
                read += 1
            except ProviderError as error:
                malformed.append(error)
        reader.answer()
    assert read > 500
    assert all(error.may_be_billed for error in malformed)


def test_embeddings_of_another_shape_are_malformed(gemini):
    request = Request(Endpoint.EMBEDDINGS, {"input": "x", "encoding_format": "base64"}, "a")
    whole = {"embeddings": [{"values": [0.5, 1.0]}], "usageMetadata": {"promptTokenCount": 3}}
    predicted = {"predictions": [{"embeddings": {"values": [0.5], "statistics": {"token_count": 3}}}]}
    malformed = []
    for told in (variant for each in (whole, predicted) for variant in variants(each)):
        try:
            gemini.read(TARGET, request, Reply(200, {}, orjson.dumps(told), 0.0, 0.0))
        except ProviderError as error:
            malformed.append(error)
    assert malformed
    assert all(error.may_be_billed for error in malformed)


def test_an_error_of_another_shape_is_an_error_all_the_same(gemini):
    for told in variants(orjson.loads(SPEECH.errors()["minute"].body)):
        gemini.error(TARGET, 429, {}, orjson.dumps(told))
