"""Anthropic's own client hears our speech and asks as we ask, and our adapter hears the simulated provider: over real HTTP."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import anthropic
import orjson
import pytest

from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.providers.anthropic.adapter import AnthropicProvider
from rateguard.engine.providers.base import Chunk, Endpoint, Outcome, Request, Target
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.sim.config import LimitRule
from rateguard.engine.providers.sim.process import SimHandle
from tests.dialects.anthropic_speech import SPEECH
from tests.dialects.cases import MESSAGES, PIXEL, SAID, SCHEMA, WEATHER, body
from tests.simprovider import sim, sim_process  # noqa: F401 - fixtures

OPUS, HAIKU, SONNET = "claude-opus-4-6", "claude-haiku-4-5", "claude-sonnet-5"
TOOL = {"name": "weather", "description": WEATHER["function"]["description"], "input_schema": WEATHER["function"]["parameters"]}


class Server:
    """Says one thing. path, headers, asked: of the last request."""

    def __init__(self) -> None:
        self.reply: tuple[int, Any, bytes] = (200, {}, b"")
        self.path, self.headers, self.asked = "", {}, {}
        ours = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                ours.path, ours.headers = self.path, {name.lower(): value for name, value in self.headers.items()}
                ours.asked = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
                status, headers, told = ours.reply
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(told))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def client(server: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key=SPEECH.target.api_key, max_retries=0) as made:
        yield made


def at(url: str, model: str = OPUS, **options: Any) -> Target:
    return Target("anthropic", url, SPEECH.target.api_key, model, options=options)


def chat(**fields: Any) -> Request:
    return Request(Endpoint.CHAT, body(**fields), "attempt-1")


async def call(target: Target, **fields: Any) -> tuple[Outcome, dict[str, Any]]:
    async with HttpClient() as client:
        outcome = await AnthropicProvider(client).call(target, chat(**fields))
    return outcome, orjson.loads(outcome.body)


async def stream(target: Target, **fields: Any) -> tuple[list[Chunk], Outcome]:
    chunks: list[Chunk] = []

    async def keep(chunk: Chunk) -> None:
        chunks.append(chunk)

    async with HttpClient() as client:
        return chunks, await AnthropicProvider(client).stream(target, chat(stream=True, **fields), keep)


# ---- the official client


@pytest.mark.parametrize("case", ["tools_behind_text", "reasoning", "cache_written_long"])
def test_anthropics_client_reads_what_the_speech_says(server: Server, client: anthropic.Anthropic, case: str):
    said = SAID[case]
    server.reply = (200, *SPEECH.whole(said))
    heard = client.messages.create(model=OPUS, max_tokens=64, messages=[{"role": "user", "content": "?"}])
    server.reply = (200, *SPEECH.stream(said))
    with client.messages.stream(model=OPUS, max_tokens=64, messages=[{"role": "user", "content": "?"}]) as events:
        streamed = events.get_final_message()
    for message in (heard, streamed):
        assert "".join(block.text for block in message.content if block.type == "text") == said.text
        assert [block.name for block in message.content if block.type == "tool_use"] == [one.name for one in said.tool_calls]
        assert "".join(block.thinking for block in message.content if block.type == "thinking") == said.reasoning
        assert message.usage.output_tokens == said.usage.output_tokens
        assert message.usage.cache_creation.ephemeral_1h_input_tokens == said.usage.cache_write_long_tokens


@pytest.mark.parametrize(("case", "error"), [("ramp", anthropic.RateLimitError), ("overloaded", anthropic.APIStatusError)])
def test_anthropics_client_reads_its_errors(server: Server, client: anthropic.Anthropic, case: str, error: type[Exception]):
    wrong = SPEECH.errors()[case]
    server.reply = (wrong.status, {"content-type": "application/json"}, wrong.body)
    with pytest.raises(error) as raised:
        client.messages.create(model=OPUS, max_tokens=64, messages=[{"role": "user", "content": "?"}])
    assert raised.value.type in {"rate_limit_error", "overloaded_error"}


async def test_we_ask_as_anthropics_client_asks(server: Server, client: anthropic.Anthropic):
    server.reply = (200, *SPEECH.whole(SAID["plain"]))
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL.partition(",")[2]}
    result = {"type": "tool_result", "tool_use_id": "call_1"}
    client.messages.create(
        model=OPUS,
        max_tokens=64,
        system=[{"type": "text", "text": "Be brief."}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image", "source": source}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Oslo"}}]},
            {"role": "user", "content": [{**result, "content": [{"type": "text", "text": "rain"}]}, {"type": "text", "text": "And now?"}]},
        ],
        tools=[TOOL],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        thinking={"type": "adaptive", "display": "summarized"},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA["schema"]}},
        stop_sequences=["END"],
        metadata={"user_id": "u-1"},
        service_tier="standard_only",
    )
    theirs, their_path, their_headers = server.asked, server.path, server.headers
    picture = {"type": "image_url", "image_url": {"url": PIXEL}}
    await call(
        at(server.url, auth="bearer", api_version="2026-10-21"),
        messages=[
            MESSAGES[0],
            {"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]},
            {
                "role": "assistant",
                "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
            {"role": "user", "content": "And now?"},
        ],
        tools=[WEATHER],
        tool_choice="required",
        parallel_tool_calls=False,
        reasoning_effort="high",
        response_format={"type": "json_schema", "json_schema": SCHEMA},
        stop="END",
        user="u-1",
        service_tier="default",
    )
    assert (server.asked, server.path) == (theirs, their_path)
    for name in ("authorization", "anthropic-version", "content-type"):
        assert server.headers[name] == their_headers[name]


# ---- the simulated provider


async def test_a_call_is_answered_and_billed_as_the_simulated_provider_says(sim: SimHandle):  # noqa: F811
    outcome, answer = await call(at(sim.url))
    (line,) = sim.control.bill()
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (line.input_tokens, line.output_tokens)
    assert (outcome.provider_request_id, line.attempt_id) == (line.request_id, "attempt-1")
    assert (answer["choices"][0]["message"]["content"] or "", answer["usage"]["completion_tokens"]) != ("", 0)


async def test_a_stream_with_thinking_is_put_together_as_the_simulated_provider_bills_it(sim: SimHandle):  # noqa: F811
    chunks, outcome = await stream(at(sim.url, SONNET), reasoning_effort="low")
    message = orjson.loads(outcome.body)["choices"][0]["message"]
    assert message["content"] == "".join(chunk.text for chunk in chunks)
    assert message["reasoning_content"]
    assert message["provider_fields"]["anthropic"]["blocks"][0]["signature"]
    assert outcome.usage.output_tokens == sim.control.bill()[0].output_tokens
    back = [*MESSAGES, message, {"role": "user", "content": "And now?"}]
    again, _ = await call(at(sim.url, SONNET), messages=back, reasoning_effort="low")
    assert again.usage.input_tokens > outcome.usage.input_tokens


async def test_tools_and_json_come_back_from_the_simulated_provider_in_openais_shape(sim: SimHandle):  # noqa: F811
    forced = {"tools": [WEATHER], "tool_choice": "required"}
    _, answer = await call(at(sim.url), **forced)
    (wanted,) = answer["choices"][0]["message"]["tool_calls"]
    assert set(orjson.loads(wanted["function"]["arguments"])) == {"city", "days"}
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    _, by_schema = await call(at(sim.url), response_format={"type": "json_schema", "json_schema": SCHEMA})
    _, by_tool = await call(at(sim.url, HAIKU), response_format={"type": "json_object"})
    assert set(orjson.loads(by_schema["choices"][0]["message"]["content"])) == {"n"}
    assert isinstance(orjson.loads(by_tool["choices"][0]["message"]["content"]), dict)
    assert by_tool["choices"][0]["finish_reason"] == "stop"


async def test_a_limit_of_the_simulated_provider_is_told_with_its_wait_and_its_reading(sim: SimHandle):  # noqa: F811
    sim.control.configure(limits={SPEECH.target.api_key: [LimitRule("requests", 1, 60_000)]})
    outcome, _ = await call(at(sim.url))
    assert {reading.axis for reading in outcome.readings} >= {"requests"}
    with pytest.raises(ProviderError) as raised:
        await call(at(sim.url))
    assert (raised.value.kind, raised.value.cools) == (ErrorKind.RATE_LIMITED, "deployment")
    assert raised.value.retry_after_ms > 0
    assert raised.value.readings[0].remaining == 0


async def test_a_newer_model_of_the_simulated_provider_refuses_what_we_refuse_before(sim: SimHandle):  # noqa: F811
    with pytest.raises(ProviderError) as raised:  # the table, told that it is wrong
        await call(at(sim.url, api_version="2026-10-21", capabilities={"sampling": True}), temperature=0)
    assert raised.value.kind == ErrorKind.BAD_REQUEST
