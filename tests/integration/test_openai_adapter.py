"""The adapter of OpenAI's dialect, over real HTTP: what it hands on, what it counts, and what each failure means."""

import asyncio
import base64
import contextlib
import struct
import time
from collections.abc import AsyncIterator, Callable

import orjson
import pytest

from rateguard.engine.errors import ConfigurationError, ErrorKind, NotSent, ProviderError
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Chunk, Endpoint, Outcome, Request, Target
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.openai.errors import error_from_reply
from rateguard.engine.providers.openai.stream import Completion
from rateguard.engine.providers.openai.usage import parse_usage
from rateguard.engine.providers.registry import ProviderRegistry
from rateguard.engine.providers.sim.config import LimitRule
from rateguard.engine.providers.sim.faults import Fault, FaultKind, RetryAfterForm
from rateguard.engine.providers.sim.process import SimHandle
from rateguard.engine.providers.sse import Event, EventLines
from tests.simprovider import sim, sim_process, wait_for  # noqa: F401 - fixtures

KEY = "sk-secret-0123456789"
MESSAGES = [{"role": "user", "content": "How many clips did Natalia sell?"}]


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with HttpClient() as client:
        yield client


@pytest.fixture
def provider(http: HttpClient):
    return ProviderRegistry(http).get("sim")


def target(base_url: str) -> Target:
    return Target(provider="sim", base_url=base_url, api_key=KEY, upstream_model="gpt-4o-mini")


def chat(attempt: str = "a-1", *, first_token_s: float = 5.0, total_s: float = 10.0, **body: object) -> Request:
    body = {"model": "public-name", "messages": MESSAGES, "max_tokens": 30, **body}
    return Request(Endpoint.CHAT, body, attempt, connect_timeout_s=2.0, first_token_timeout_s=first_token_s, total_timeout_s=total_s)


class Chunks(list[Chunk]):
    """What was handed on."""

    async def take(self, chunk: Chunk) -> None:
        self.append(chunk)


async def ask_sim(call: Callable[[], object]) -> object:
    return await asyncio.to_thread(call)


# A call


async def test_a_call_hands_on_the_answer_byte_by_byte_with_its_usage(sim: SimHandle, provider):  # noqa: F811
    sent: list[float] = []
    before = time.monotonic()

    outcome: Outcome = await provider.call(target(sim.base_url), chat("job-1:1"), sent.append)

    body = orjson.loads(outcome.body)
    (line,) = await ask_sim(sim.control.bill)
    assert body["model"] == "gpt-4o-mini"
    assert outcome.usage == Usage(input_tokens=line.input_tokens, output_tokens=line.output_tokens)
    assert outcome.finish_reason == body["choices"][0]["finish_reason"]
    assert outcome.provider_request_id == line.request_id
    assert (line.attempt_id, line.key) == ("job-1:1", KEY)
    assert sent == [outcome.sent_at]
    assert before <= outcome.sent_at <= outcome.answered_at <= time.monotonic()
    assert outcome.processing_ms is not None


async def test_the_provider_counts_between_sent_and_answered_minus_processing(sim: SimHandle, provider):  # noqa: F811
    sim.control.configure(latency={"base_ms": 120})
    epoch_ms = time.time() * 1_000 - time.monotonic() * 1_000

    outcome = await provider.call(target(sim.base_url), chat())

    (arrival,) = await ask_sim(sim.control.log)
    clocks_ms = 5.0
    assert outcome.processing_ms >= 119  # timers may wake a millisecond early
    assert outcome.sent_at * 1_000 + epoch_ms - clocks_ms <= arrival.arrived_ms
    assert arrival.arrived_ms <= outcome.answered_at * 1_000 - outcome.processing_ms + epoch_ms + clocks_ms


async def test_a_call_never_streams_whatever_the_callers_body_says(sim: SimHandle, provider):  # noqa: F811
    outcome = await provider.call(target(sim.base_url), chat(stream=True, stream_options={"include_usage": True}))
    assert orjson.loads(outcome.body)["object"] == "chat.completion"


async def test_embeddings_come_as_they_were_asked_for(sim: SimHandle, provider):  # noqa: F811
    body = {"model": "public-name", "input": ["one", "two"], "encoding_format": "base64", "dimensions": 4}
    outcome = await provider.call(target(sim.base_url), Request(Endpoint.EMBEDDINGS, body, "e-1"))

    packed = [base64.b64decode(item["embedding"]) for item in orjson.loads(outcome.body)["data"]]
    assert [len(struct.unpack("<4f", vector)) for vector in packed] == [4, 4]
    assert outcome.usage == Usage(input_tokens=2)
    assert outcome.finish_reason == "stop"


# A stream


async def test_a_stream_adds_up_to_the_answer_that_its_chunks_spell(sim: SimHandle, provider):  # noqa: F811
    chunks = Chunks()
    outcome = await provider.stream(target(sim.base_url), chat(), chunks.take)

    body = orjson.loads(outcome.body)
    (line,) = await ask_sim(sim.control.bill)
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "".join(chunk.text for chunk in chunks), "refusal": None}
    assert body["usage"]["completion_tokens"] == line.output_tokens == outcome.usage.output_tokens
    assert body["id"] == orjson.loads(chunks[0].data)["id"]
    assert "obfuscation" not in body
    assert not outcome.usage.estimated
    assert outcome.finish_reason == body["choices"][0]["finish_reason"]


@pytest.mark.parametrize("asked", [False, True])
async def test_the_usage_chunk_is_handed_on_only_to_a_caller_who_asked(sim: SimHandle, provider, asked: bool):  # noqa: F811
    chunks = Chunks()
    options = {"stream_options": {"include_usage": True}} if asked else {}
    await provider.stream(target(sim.base_url), chat(stream=True, **options), chunks.take)

    without_choice = [chunk for chunk in chunks if not orjson.loads(chunk.data)["choices"]]
    assert len(without_choice) == int(asked)


async def test_a_caller_who_stops_listening_ends_the_stream_at_the_provider(sim: SimHandle, provider):  # noqa: F811
    sim.control.configure(latency={"per_token_ms": 20}, output={"least": 1.0})

    class Enough(Exception):
        pass

    async def leave(chunk: Chunk) -> None:
        if chunk.text:
            raise Enough

    with pytest.raises(Enough):
        await provider.stream(target(sim.base_url), chat(max_tokens=200), leave)

    (line,) = await ask_sim(lambda: wait_for(sim.control.bill))
    assert line.aborted
    assert line.output_tokens < 100


# What each failure means


@pytest.mark.parametrize(
    ("fault", "kind", "status", "cools", "may_be_billed"),
    [
        (Fault(FaultKind.RATE_LIMITED), ErrorKind.RATE_LIMITED, 429, "deployment", False),
        (Fault(FaultKind.SLOW_DOWN), ErrorKind.RATE_LIMITED, 429, "deployment", False),
        (Fault(FaultKind.INSUFFICIENT_QUOTA), ErrorKind.QUOTA_EXHAUSTED, 429, "account", False),
        (Fault(FaultKind.CONTEXT_LENGTH), ErrorKind.CONTEXT_TOO_LONG, 400, "", False),
        (Fault(FaultKind.CONTENT_FILTER), ErrorKind.CONTENT_FILTER, 400, "", False),
        (Fault(FaultKind.SERVER_ERROR), ErrorKind.SERVER, 500, "", False),
        (Fault(FaultKind.OVERLOADED), ErrorKind.OVERLOADED, 503, "", False),
        (Fault(FaultKind.HTML), ErrorKind.SERVER, 502, "", False),
        (Fault(FaultKind.RESET), ErrorKind.NETWORK, 0, "", True),
        (Fault(FaultKind.ERROR_IN_200), ErrorKind.SERVER, 200, "", True),
        (Fault(FaultKind.MALFORMED), ErrorKind.SERVER, 200, "", True),
        (Fault(FaultKind.SLOW_HEADERS, wait_ms=5_000), ErrorKind.TIMEOUT, 0, "", True),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_fault_is_an_error_of_its_kind(sim: SimHandle, provider, streamed: bool, fault: Fault, kind, status, cools, may_be_billed):  # noqa: F811
    await ask_sim(lambda: sim.control.add_faults(fault))
    request = chat(first_token_s=0.3) if streamed else chat(total_s=0.3)

    at = target(sim.base_url)
    answer = provider.stream(at, request, Chunks().take) if streamed else provider.call(at, request)
    with pytest.raises(ProviderError) as caught:
        await answer

    error = caught.value
    assert (error.kind, error.status, error.cools, error.may_be_billed) == (kind, status, cools, may_be_billed)
    assert KEY not in str(error)
    assert KEY not in repr(error.__cause__)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FaultKind.RESET_STREAM, ErrorKind.NETWORK),
        (FaultKind.CUT_STREAM, ErrorKind.SERVER),
        (FaultKind.STREAM_ERROR, ErrorKind.SERVER),
        (FaultKind.MALFORMED, ErrorKind.SERVER),
    ],
)
async def test_a_stream_that_breaks_is_an_error_that_may_be_billed(sim: SimHandle, provider, kind: FaultKind, expected: ErrorKind):  # noqa: F811
    await ask_sim(lambda: sim.control.add_faults(Fault(kind, events=3)))
    chunks = Chunks()

    with pytest.raises(ProviderError) as caught:
        await provider.stream(target(sim.base_url), chat(), chunks.take)

    (line,) = await ask_sim(lambda: wait_for(sim.control.bill))
    assert (caught.value.kind, caught.value.may_be_billed) == (expected, True)
    assert sum(bool(chunk.text) for chunk in chunks) <= 3
    assert (line.output_tokens, line.aborted) == (3, True)


@pytest.mark.parametrize(
    ("events", "first_token_s", "total_s", "said"),
    [
        (0, 0.15, 5.0, "sent, but no token within 0.15 s"),
        (3, 0.15, 5.0, "the answer went silent for 0.15 s"),
        (3, 5.0, 0.3, "the answer was not whole within 0.3 s"),
    ],
)
async def test_each_timeout_of_a_stream_says_which_it_was(sim: SimHandle, provider, events, first_token_s, total_s, said):  # noqa: F811
    await ask_sim(lambda: sim.control.add_faults(Fault(FaultKind.SILENCE, events=events, wait_ms=1_000)))
    chunks = Chunks()

    with pytest.raises(ProviderError, match=said) as caught:
        await provider.stream(target(sim.base_url), chat(first_token_s=first_token_s, total_s=total_s), chunks.take)

    assert (caught.value.kind, caught.value.may_be_billed) == (ErrorKind.TIMEOUT, True)
    assert sum(bool(chunk.text) for chunk in chunks) == events


async def test_a_stream_may_be_silent_as_long_as_its_first_token_may_take(sim: SimHandle, provider):  # noqa: F811
    await ask_sim(lambda: sim.control.add_faults(Fault(FaultKind.SILENCE, events=2, wait_ms=300)))
    outcome = await provider.stream(target(sim.base_url), chat(first_token_s=1.0), Chunks().take)
    assert outcome.finish_reason in {"stop", "length"}


async def test_a_request_that_is_refused_when_it_is_to_be_written_never_arrives(sim: SimHandle, provider):  # noqa: F811
    def refuse(_at: float) -> None:
        raise NotSent("its grant was over")

    at = target(sim.base_url)
    for call in (lambda: provider.call(at, chat(), refuse), lambda: provider.stream(at, chat(), Chunks().take, refuse)):
        with pytest.raises(NotSent, match="its grant was over"):
            await call()
    await provider.call(at, chat("a-2"))

    assert [line.attempt_id for line in await ask_sim(sim.control.log)] == ["a-2"]


async def test_a_content_filter_as_finish_reason_is_a_result(sim: SimHandle, provider):  # noqa: F811
    await ask_sim(lambda: sim.control.add_faults(Fault(FaultKind.FINISH_CONTENT_FILTER)))
    assert (await provider.call(target(sim.base_url), chat())).finish_reason == "content_filter"


@pytest.mark.parametrize(
    ("form", "least_ms", "most_ms"),
    [
        (RetryAfterForm.SECONDS, 2_000, 2_000),
        (RetryAfterForm.FLOAT, 1_500, 1_500),
        (RetryAfterForm.HTTP_DATE, 2_000, 3_000),
        (RetryAfterForm.MILLISECONDS, 1_500, 1_500),
        (RetryAfterForm.BODY, 1_500, 1_500),
        (RetryAfterForm.RESET, 1_500, 1_500),
    ],
)
async def test_each_form_of_retry_after_is_understood(sim: SimHandle, provider, form: RetryAfterForm, least_ms: int, most_ms: int):  # noqa: F811
    await ask_sim(lambda: sim.control.add_faults(Fault(FaultKind.RATE_LIMITED, wait_ms=1_500, retry_after=form)))
    with pytest.raises(ProviderError) as caught:
        await provider.call(target(sim.base_url), chat())
    assert least_ms <= caught.value.retry_after_ms <= most_ms


@pytest.mark.parametrize("form", [RetryAfterForm.ZERO, RetryAfterForm.NONE])
async def test_a_wait_that_is_zero_or_missing_is_no_wait(sim: SimHandle, provider, form: RetryAfterForm):  # noqa: F811
    await ask_sim(lambda: sim.control.add_faults(Fault(FaultKind.RATE_LIMITED, retry_after=form)))
    with pytest.raises(ProviderError) as caught:
        await provider.call(target(sim.base_url), chat())
    assert caught.value.retry_after_ms is None


async def test_a_real_429_cools_the_account_and_one_that_can_never_fit_is_a_bad_request(sim: SimHandle, provider):  # noqa: F811
    await ask_sim(lambda: sim.control.configure(limits={"*": [LimitRule("requests", 1, 60_000), LimitRule("tokens", 100, 60_000)]}))
    await provider.call(target(sim.base_url), chat())

    with pytest.raises(ProviderError) as full:
        await provider.call(target(sim.base_url), chat())
    await ask_sim(sim.control.reset)
    with pytest.raises(ProviderError) as too_large:
        await provider.call(target(sim.base_url), chat(max_tokens=1_000))

    assert (full.value.kind, full.value.cools) == (ErrorKind.RATE_LIMITED, "account")
    assert 50_000 <= full.value.retry_after_ms <= 60_000
    assert too_large.value.kind is ErrorKind.BAD_REQUEST


async def test_wrong_credentials_and_unknown_models_are_told_apart(sim: SimHandle, provider):  # noqa: F811
    await ask_sim(lambda: sim.control.configure(keys=["sk-other"]))
    with pytest.raises(ProviderError) as auth:
        await provider.call(target(sim.base_url), chat())
    await ask_sim(lambda: sim.control.configure(keys=[], models=["gpt-4o"]))
    with pytest.raises(ProviderError) as missing:
        await provider.call(target(sim.base_url), chat())
    assert (auth.value.kind, missing.value.kind) == (ErrorKind.AUTH, ErrorKind.NOT_FOUND)


def reply_error(status: int, code: str = "", kind: str = "", message: str = "", headers: dict[str, str] | None = None) -> ProviderError:
    body = orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code or None}})
    return error_from_reply(status, headers or {}, body, KEY)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (reply_error(429, "credit_balance_exhausted", "insufficient_quota"), ErrorKind.QUOTA_EXHAUSTED),
        (reply_error(429, "429", message="Requests have exceeded call rate limit"), ErrorKind.RATE_LIMITED),
        (reply_error(400, message="This model's maximum context length is 8192 tokens"), ErrorKind.CONTEXT_TOO_LONG),
        (reply_error(400, "content_filter"), ErrorKind.CONTENT_FILTER),
        (reply_error(404, "DeploymentNotFound"), ErrorKind.NOT_FOUND),
        (reply_error(402), ErrorKind.QUOTA_EXHAUSTED),
        (reply_error(402, headers={"retry-after": "3"}), ErrorKind.RATE_LIMITED),
        (reply_error(401, "invalid_api_key"), ErrorKind.AUTH),
        (reply_error(403), ErrorKind.AUTH),
        (reply_error(408), ErrorKind.TIMEOUT),
        (reply_error(409), ErrorKind.CONFLICT),
        (reply_error(413, "request_too_large"), ErrorKind.BAD_REQUEST),
        (reply_error(424), ErrorKind.SERVER),
        (reply_error(429, "slow_down", "rate_limit_error"), ErrorKind.RATE_LIMITED),
        (reply_error(429, "rate_limit_exceeded", message="Limit 1000, Used 0, Requested 2000."), ErrorKind.BAD_REQUEST),
        (reply_error(429, "resource_unavailable"), ErrorKind.RATE_LIMITED),
        (reply_error(429, kind="rate_limit_error"), ErrorKind.RATE_LIMITED),
        (reply_error(400, "content_policy_violation"), ErrorKind.CONTENT_FILTER),
        (
            reply_error(400, message="The input token count (9) exceeds the maximum number of tokens allowed (8)."),
            ErrorKind.CONTEXT_TOO_LONG,
        ),
        (reply_error(400, message="input length and `max_tokens` exceed context limit: 9 + 9 > 16"), ErrorKind.CONTEXT_TOO_LONG),
        (reply_error(498), ErrorKind.OVERLOADED),
        (reply_error(500, "server_error"), ErrorKind.SERVER),
        (reply_error(503, "server_is_overloaded"), ErrorKind.OVERLOADED),
        (reply_error(503, "service_unavailable_error"), ErrorKind.OVERLOADED),
        (reply_error(504), ErrorKind.SERVER),
        (reply_error(520), ErrorKind.SERVER),
        (reply_error(500, "overloaded_error"), ErrorKind.OVERLOADED),
        (reply_error(422), ErrorKind.BAD_REQUEST),
        (reply_error(302), ErrorKind.BAD_REQUEST),
        (reply_error(529), ErrorKind.OVERLOADED),
        (reply_error(524), ErrorKind.SERVER),
        (error_from_reply(502, {}, b"<html>", KEY), ErrorKind.SERVER),
        (error_from_reply(429, {}, b"", KEY), ErrorKind.RATE_LIMITED),
        (error_from_reply(400, {}, b'{"error":"text"}', KEY), ErrorKind.BAD_REQUEST),
        (error_from_reply(400, {}, b'[{"object":"error","message":"x","code":400}]', KEY), ErrorKind.BAD_REQUEST),
    ],
)
def test_recorded_error_replies_are_classified(error: ProviderError, kind: ErrorKind):
    assert error.kind is kind


def test_a_key_that_a_provider_quotes_is_not_in_the_error():
    text = str(reply_error(401, "invalid_api_key", message=f"Incorrect API key provided: {KEY} or sk-abc***xyz. x" + "y" * 900))
    assert KEY not in text
    assert "sk-" not in text
    assert len(text) < 400


# The connection


async def serve(handle) -> tuple[asyncio.Server, str]:
    async def handle_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await handle(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle_and_close, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    return head + await reader.readexactly(length)


WHOLE = orjson.dumps({"choices": [{"message": {"role": "assistant", "content": "Hello world"}, "finish_reason": "stop"}]})


def http_reply(body: bytes, content_type: str = "application/json") -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def test_nobody_listening_is_a_connect_error(provider):
    server, url = await serve(lambda *_: None)
    server.close()
    await server.wait_closed()
    with pytest.raises(ProviderError) as caught:
        await provider.call(target(url), chat())
    assert (caught.value.kind, caught.value.may_be_billed) == (ErrorKind.CONNECT, False)


async def test_a_kept_connection_that_was_closed_meanwhile_is_a_connect_error(provider):
    async def answer_once_then_hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_reply(WHOLE))
        await read_request(reader)
        writer.transport.abort()

    server, url = await serve(answer_once_then_hang_up)
    async with server:
        await provider.call(target(url), chat())
        with pytest.raises(ProviderError) as caught:
            await provider.call(target(url), chat())
    assert (caught.value.kind, caught.value.may_be_billed) == (ErrorKind.CONNECT, False)


async def test_a_new_connection_that_dies_after_sending_is_a_network_error(provider):
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.transport.abort()

    server, url = await serve(hang_up)
    async with server:
        with pytest.raises(ProviderError) as caught:
            await provider.call(target(url), chat())
    assert (caught.value.kind, caught.value.may_be_billed) == (ErrorKind.NETWORK, True)


async def test_an_answer_cut_in_its_body_is_a_network_error(provider):
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_reply(WHOLE)[:-10])
        writer.close()

    server, url = await serve(cut)
    async with server:
        with pytest.raises(ProviderError) as caught:
            await provider.call(target(url), chat())
    assert (caught.value.kind, caught.value.may_be_billed) == (ErrorKind.NETWORK, True)


async def test_an_answer_without_usage_is_counted_by_us_and_marked(provider):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_reply(WHOLE))
        await read_request(reader)
        events = b'data: {"choices":[{"index":0,"delta":{"content":"Hello world"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        writer.write(http_reply(events, "text/event-stream"))

    server, url = await serve(answer)
    async with server:
        whole = await provider.call(target(url), chat())
        streamed = await provider.stream(target(url), chat(), Chunks().take)
    assert whole.usage == streamed.usage
    assert whole.usage.estimated
    assert whole.usage.output_tokens == 2
    assert whole.usage.input_tokens > 7


async def test_headers_carry_the_key_the_attempt_and_for_a_stream_no_compression(provider):
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(http_reply(b"data: [DONE]\n\n", "text/event-stream"))

    server, url = await serve(answer)
    async with server:
        await provider.stream(target(url), chat("job-9:2"), Chunks().take)
    head, body = seen[0].split(b"\r\n\r\n")
    head = head.lower()
    assert b"post /v1/chat/completions http/1.1" in head
    assert f"authorization: bearer {KEY}".encode() in head
    assert b"x-client-request-id: job-9:2" in head
    assert b"accept-encoding: identity" in head
    sent = orjson.loads(body)
    assert (sent["model"], sent["stream"]) == ("gpt-4o-mini", True)
    assert sent["stream_options"] == {"include_usage": True, "include_obfuscation": False}


async def test_a_base_url_that_is_none_is_a_configuration_error(provider):
    with pytest.raises(ConfigurationError, match="base URL"):
        await provider.call(target("provider.example/v1"), chat())


async def test_a_closed_client_says_so():
    http = HttpClient()
    await http.open()
    await http.close()
    await http.close()
    with pytest.raises(RuntimeError, match="open"):
        await ProviderRegistry(http).get("openai").call(target("http://127.0.0.1:1/v1"), chat())


def test_an_unknown_provider_is_a_configuration_error_that_names_the_known():
    with pytest.raises(ConfigurationError, match=r"openai, .*sim"):
        ProviderRegistry(HttpClient()).get("nobody")


# Usage and chunks


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {"prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30}},
            Usage(input_tokens=10, cached_tokens=60, cache_write_tokens=30, output_tokens=50),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 50, "total_tokens": 60, "completion_tokens_details": {"reasoning_tokens": 40}},
            Usage(input_tokens=10, output_tokens=50, reasoning_tokens=40),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 55, "completion_tokens_details": {"reasoning_tokens": 40}},
            Usage(input_tokens=10, output_tokens=45, reasoning_tokens=40),
        ),
        (
            {"prompt_tokens": 10, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 2, "completion_tokens": 1},
            Usage(input_tokens=2, cached_tokens=8, output_tokens=1),
        ),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}, "completion_tokens": None}, Usage(cached_tokens=9)),
        ({"prompt_tokens": 7, "total_tokens": 7, "prompt_tokens_details": None}, Usage(input_tokens=7)),
    ],
)
def test_usage_falls_into_buckets_that_never_overlap(usage: dict[str, object], expected: Usage):
    assert parse_usage(usage) == expected


def test_tool_calls_are_put_together_by_their_index():
    answer = Completion()
    pieces = [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": ""}}],
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
        {"tool_calls": [{"index": 1, "id": "call_2", "type": "function", "function": {"name": "time", "arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Rome"}'}}]},
    ]
    for delta in pieces:
        answer.add({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    assert not answer.is_complete
    answer.add({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})

    (choice,) = orjson.loads(answer.body())["choices"]
    assert answer.is_complete
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
        {"id": "call_2", "type": "function", "function": {"name": "time", "arguments": "{}"}},
    ]


def test_a_stream_of_several_choices_is_complete_when_all_have_finished():
    answer = Completion()
    answer.add({"choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b", "reasoning_content": "why"}}]})
    answer.add({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    assert not answer.is_complete
    answer.add({"choices": [{"index": 1, "delta": {"reasoning_content": "!"}, "finish_reason": "length"}]})

    assert answer.is_complete
    assert [choice["message"]["content"] for choice in orjson.loads(answer.body())["choices"]] == ["a", "b"]
    assert orjson.loads(answer.body())["choices"][1]["message"]["reasoning_content"] == "why!"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_events_are_found_however_the_network_cuts_them(size: int, line_end: bytes):
    stream = line_end.join(
        [b": comment", b"", b'data: {"a":1}', b"", b'data:{"b":', b'data: "\xc3\xa4"}', b"", b"event: x", b"data: [DONE]"]
    )
    lines = EventLines()

    found = [event for start in range(0, len(stream), size) for event in lines.feed(stream[start : start + size])]
    found += lines.finish()

    assert found == [Event(b'{"a":1}'), Event(b'{"b":\n"\xc3\xa4"}'), Event(b"[DONE]", "x")]
