"""OpenAI's endpoint Responses: its own body goes in, its own answer and events come out, and what they mean is known."""

import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rateguard.engine.errors import ErrorKind, InvalidRequest, ProviderError
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Endpoint, Request, Target
from rateguard.engine.providers.http import HttpClient, Reply
from rateguard.engine.providers.openai.adapter import OpenAIProvider
from tests.dialects.test_dialects import read_in

TARGET = Target("openai", "https://api.openai.com/v1/", "sk-secret-0123456789", "gpt-6.1-sol")
HEADERS = {"content-type": "text/event-stream"}
USAGE = {
    "input_tokens": 6_849,
    "input_tokens_details": {
        "cached_tokens": 6_690,
        "cache_write_tokens": 156,
        "cache_write_tokens_details": {"ttl_30m_tokens": 56, "ttl_12h_tokens": 100},
    },
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 33},
    "total_tokens": 6_889,
}
BILLED = Usage(
    input_tokens=3,
    cached_tokens=6_690,
    cache_write_tokens=156,
    cache_write_long_tokens=100,
    output_tokens=40,
    reasoning_tokens=33,
    tier="priority",
    searches=2,
)
PIECES = ("Natalia ", "sold ", "72 👋🏽", " clips.")


def response(status="completed", **fields):
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "".join(PIECES), "annotations": []}]}
    told = {"id": "resp_1", "object": "response", "status": status, "error": None, "model": "gpt-6.1-sol", "output": [message]}
    return {**told, "usage": USAGE, "service_tier": "fast", "tool_usage": {"web_search": {"num_requests": 2}}, **fields}


def event(kind, **fields):
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps({"type": kind, "sequence_number": 1, **fields}) + b"\n\n"


BEGUN = event("response.created", response=response("in_progress", output=[], usage=None))
DELTAS = [event("response.output_text.delta", item_id="m", output_index=0, content_index=0, delta=piece) for piece in PIECES]
THOUGHT = event("response.reasoning_summary_text.delta", delta="48 / 2")
STREAM = b"".join([BEGUN, THOUGHT, *DELTAS, event("response.completed", response=response())])


@pytest.fixture
def provider():
    return OpenAIProvider(HttpClient())


def ask(**body):
    return Request(Endpoint.RESPONSES, {"model": "public-name", "input": "How many clips?", **body}, "a-1")


def read(provider, answer):
    return provider.read(TARGET, ask(), Reply(200, {}, orjson.dumps(answer), 0.0, 0.0))


def reader(provider):
    return provider.reader(TARGET, ask(stream=True), HEADERS)


def test_the_callers_body_goes_out_as_it_is(provider):
    body = {"instructions": "Be brief.", "reasoning": {"effort": "low"}, "text": {"format": {"type": "json_object"}}, "temperature": 0}
    request = ask(**body, max_output_tokens=64, stream=True)
    provider.check(TARGET, request)

    wire = provider.write(TARGET, request, is_streamed=False)

    assert wire.url == "https://api.openai.com/v1/responses"
    assert orjson.loads(wire.body) == {"model": "gpt-6.1-sol", "input": "How many clips?", **body, "max_output_tokens": 64}


def test_a_stream_asks_for_no_padding_and_never_for_a_usage_that_comes_anyway(provider):
    sent = orjson.loads(provider.write(TARGET, ask(stream_options={"include_usage": True}), is_streamed=True).body)
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_obfuscation": False})


def test_the_most_that_a_model_may_write_has_its_own_name_there(provider):
    assert orjson.loads(provider.write(TARGET, ask(max_tokens=64), is_streamed=False).body)["max_output_tokens"] == 64
    sent = orjson.loads(provider.write(TARGET, ask(max_tokens=64, max_output_tokens=32), is_streamed=False).body)
    assert sent["max_output_tokens"] == 32
    assert "max_tokens" not in sent


def test_an_answer_in_the_background_is_refused(provider):
    provider.check(TARGET, ask(background=False))
    with pytest.raises(InvalidRequest) as raised:
        provider.check(TARGET, ask(background=True))
    assert (raised.value.code, raised.value.pointer) == ("unsupported_by_provider", "/background")


def test_a_whole_answer_comes_out_byte_by_byte_with_its_usage(provider):
    raw = orjson.dumps(response())
    answer = provider.read(TARGET, ask(), Reply(200, {}, raw, 0.0, 0.0))
    assert answer.body is raw
    assert (answer.usage, answer.finish_reason) == (BILLED, "stop")


@pytest.mark.parametrize(
    ("fields", "finish"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "stop"),
        ({"output": [{"type": "reasoning"}, {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, "tool_calls"),
    ],
)
def test_why_it_ended_is_said_in_the_words_of_chats(provider, fields, finish):
    assert read(provider, response(**fields)).finish_reason == finish


def test_without_a_usage_the_text_is_there_to_be_counted(provider):
    answer = read(provider, response(usage=None))
    assert (answer.usage, answer.text) == (None, "".join(PIECES))


FAILURES = [
    ({"code": "server_error", "message": "x"}, ErrorKind.SERVER),
    ({"code": "rate_limit_exceeded", "message": "x"}, ErrorKind.RATE_LIMITED),
    ({"code": "invalid_prompt", "message": "x"}, ErrorKind.BAD_REQUEST),
    ({"code": "bio_policy", "message": "x"}, ErrorKind.CONTENT_FILTER),
    ({"code": "vector_store_timeout", "message": "x"}, ErrorKind.SERVER),
    ({"code": "invalid_image_url", "message": "x"}, ErrorKind.BAD_REQUEST),
]


@pytest.mark.parametrize(("error", "kind"), FAILURES)
def test_a_failure_that_comes_with_status_200_is_one(provider, error, kind):
    with pytest.raises(ProviderError) as whole:
        read(provider, response("failed", error=error))
    with pytest.raises(ProviderError) as streamed:
        read_in(reader(provider), [BEGUN, event("response.failed", response=response("failed", error=error))])
    with pytest.raises(ProviderError) as bare:
        read_in(reader(provider), [BEGUN, event("error", **error, param=None)])
    assert [(one.value.kind, one.value.may_be_billed) for one in (whole, streamed, bare)] == [(kind, True)] * 3


@pytest.mark.parametrize("status", ["in_progress", "queued", "cancelled", None])
def test_what_has_not_ended_is_no_answer(provider, status):
    with pytest.raises(ProviderError):
        read(provider, response(status))


def test_a_stream_hands_on_each_event_wherever_the_network_cuts_it():
    provider = OpenAIProvider(HttpClient())

    @given(st.lists(st.integers(0, len(STREAM)), max_size=12))
    def check(cuts):
        stream, places = reader(provider), [0, *sorted(cuts), len(STREAM)]
        chunks = read_in(stream, (STREAM[start:end] for start, end in itertools.pairwise(places)))
        answer = stream.answer()
        assert stream.is_complete
        assert (answer.usage, answer.finish_reason) == (BILLED, "stop")
        assert orjson.loads(answer.body) == response()
        assert "".join(chunk.text for chunk in chunks) == "".join(PIECES)
        assert [orjson.loads(chunk.data)["type"] for chunk in chunks][:2] == ["response.created", "response.reasoning_summary_text.delta"]
        assert [chunk.has_content for chunk in chunks] == [False, *[True] * 6]

    check()


def test_a_stream_without_its_terminal_event_has_been_cut(provider):
    end = STREAM.index(b"event: response.completed")
    for last in (end, end + 40, len(STREAM) - 3):
        stream = reader(provider)
        try:
            read_in(stream, [STREAM[:last]])
        except ProviderError as error:
            assert error.may_be_billed  # noqa: PT017 - a cut within an event raises, one between two does not
        assert not stream.is_complete
        assert stream.answer().text == "48 / 2" + "".join(PIECES)


def test_what_comes_behind_the_end_changes_nothing(provider):
    stream = reader(provider)
    read_in(stream, [STREAM, b"data: [DONE]\n\n", b"data: {half"])
    assert stream.is_complete


def test_the_usage_of_a_failed_stream_is_known(provider):
    stream = reader(provider)
    with pytest.raises(ProviderError):
        read_in(stream, [event("response.failed", response=response("failed", error={"code": "server_error"}, service_tier=None))])
    assert stream.answer().usage.output_tokens == 40


def test_a_whole_error_where_a_stream_was_asked_for_is_one(provider):
    stream = provider.reader(TARGET, ask(stream=True), {"content-type": "application/json"})
    with pytest.raises(ProviderError) as raised:
        read_in(stream, [b'{"error": {"code": "rate_limit_exceeded"}}'])
    assert raised.value.kind is ErrorKind.RATE_LIMITED
