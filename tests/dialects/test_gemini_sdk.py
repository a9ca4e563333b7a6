"""Google's own client hears our speech and asks as we ask: so the speech is believable, and the requests are."""

import http.server
import importlib
import re
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.providers.base import Chunk, Endpoint, Request, Target
from rateguard.engine.providers.gemini.adapter import GeminiProvider
from rateguard.engine.providers.http import HttpClient
from tests.dialects.cases import SAID, WEATHER, body
from tests.dialects.gemini_speech import SPEECH
from tests.dialects.speech import Said


class Google:
    """A server that says one thing. asked: the last request, its path and its body."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = 200, {}, b""
        self.path, self.asked = "", {}
        ours = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                ours.path, ours.asked = self.path, orjson.loads(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(ours.status)
                for name, value in {**ours.headers, "content-length": str(len(ours.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(ours.body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def says(self, headers: object, body: bytes, status: int = 200) -> None:
        self.status, self.headers, self.body = status, headers, body

    def says_whole(self, said: Said) -> None:
        self.says(*SPEECH.whole(said))

    def streams(self, said: Said) -> None:
        self.says(*SPEECH.stream(said))


def in_camels(value: object) -> object:
    """Their JSON in one spelling: Google's takes either, and its client mixes them."""
    if isinstance(value, dict):
        return {re.sub(r"_(\w)", lambda found: found.group(1).upper(), name): in_camels(one) for name, one in value.items()}
    return [in_camels(one) for one in value] if isinstance(value, list) else value


@pytest.fixture
def google() -> Iterator[Google]:
    server = Google()
    thread = threading.Thread(target=server.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.server.shutdown()
    server.server.server_close()
    thread.join()


@pytest.fixture
def sdk() -> Any:
    """google-genai, loaded where it is used: that takes a second."""
    return importlib.import_module("google.genai")


@pytest.fixture
def client(google: Google, sdk: Any) -> Iterator[Any]:
    made = sdk.Client(api_key="AIza-secret", http_options=sdk.types.HttpOptions(base_url=google.url))
    yield made
    made.close()


@pytest.mark.long
def test_googles_client_reads_what_the_speech_says(google: Google, sdk: Any, client: Any):
    google.says_whole(SAID["tools_behind_text"])
    heard = client.models.generate_content(model="gemini-2.5-flash", contents="?")
    assert [(call.id, call.name, call.args) for call in heard.function_calls] == [
        ("call_1", "weather", {"city": "Oslo"}),
        ("call_2", "time", {}),
    ]
    assert heard.usage_metadata.total_token_count == 18

    google.streams(SAID["many_scripts"])
    pieces = list(client.models.generate_content_stream(model="gemini-2.5-flash", contents="?"))
    assert "".join(piece.text for piece in pieces) == SAID["many_scripts"].text
    assert pieces[-1].candidates[0].finish_reason == sdk.types.FinishReason.STOP


@pytest.mark.long
@pytest.mark.parametrize("case", ["minute", "in_a_list", "overloaded"])
def test_googles_client_reads_its_errors(google: Google, sdk: Any, client: Any, case: str):
    wrong = SPEECH.errors()[case]
    google.says({"content-type": "application/json"}, wrong.body, wrong.status)
    with pytest.raises(sdk.errors.APIError) as raised:
        client.models.generate_content(model="gemini-2.5-flash", contents="?")
    assert raised.value.code == wrong.status
    assert raised.value.status in {"RESOURCE_EXHAUSTED", "UNAVAILABLE"}


@pytest.mark.long
def test_googles_client_reads_an_error_within_a_stream(google: Google, sdk: Any, client: Any):
    headers, stream = SPEECH.stream(SAID["plain"])
    google.says(headers, stream.split(b"\r\n\r\n")[0] + b"\r\n\r\n" + SPEECH.errors_in_stream()["bare"][0])
    with pytest.raises(sdk.errors.APIError) as raised:
        list(client.models.generate_content_stream(model="gemini-2.5-flash", contents="?"))
    assert raised.value.code == 503


@pytest.mark.long
def test_we_ask_as_googles_client_asks(google: Google, sdk: Any, client: Any):
    google.says_whole(SAID["plain"])
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    config = sdk.types.GenerateContentConfig(
        system_instruction="Be brief.",
        temperature=0,
        top_k=5,
        stop_sequences=["\n\n"],
        seed=7,
        max_output_tokens=64,
        response_logprobs=True,
        logprobs=2,
        frequency_penalty=0.5,
        response_mime_type="application/json",
        response_json_schema=schema,
        thinking_config=sdk.types.ThinkingConfig(thinking_budget=8192, include_thoughts=True),
        service_tier="flex",
        tools=[
            sdk.types.Tool(
                function_declarations=[
                    sdk.types.FunctionDeclaration(
                        name="weather",
                        description=WEATHER["function"]["description"],
                        parameters_json_schema=WEATHER["function"]["parameters"],
                    )
                ]
            )
        ],
        tool_config=sdk.types.ToolConfig(
            function_calling_config=sdk.types.FunctionCallingConfig(mode="ANY", allowed_function_names=["weather"])
        ),
        automatic_function_calling=sdk.types.AutomaticFunctionCallingConfig(disable=True),
    )
    contents = [
        sdk.types.Content(
            role="user", parts=[sdk.types.Part(text="Weather?"), sdk.types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png")]
        ),
        sdk.types.Content(
            role="model", parts=[sdk.types.Part(function_call=sdk.types.FunctionCall(id="c", name="weather", args={"city": "Oslo"}))]
        ),
        sdk.types.Content(
            role="user",
            parts=[sdk.types.Part(function_response=sdk.types.FunctionResponse(id="c", name="weather", response={"output": "rain"}))],
        ),
    ]
    client.models.generate_content(model="gemini-2.5-pro", contents=contents, config=config)

    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}
    ours = body(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}, image]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "rain"},
        ],
        temperature=0,
        top_k=5,
        stop="\n\n",
        seed=7,
        logprobs=True,
        top_logprobs=2,
        frequency_penalty=0.5,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        reasoning_effort="medium",
        service_tier="flex",
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "weather"}},
    )
    target = Target("gemini", google.url, "AIza-secret", "gemini-2.5-pro")
    wire = GeminiProvider(HttpClient()).write(target, Request(Endpoint.CHAT, ours, "a"), is_streamed=False)
    theirs = in_camels(google.asked)
    assert theirs["systemInstruction"].pop("role") == "user"  # whose instruction it is changes nothing
    assert orjson.loads(wire.body) == theirs
    assert wire.url == google.url + google.path


async def test_a_call_and_a_stream_go_over_the_wire_and_a_broken_one_is_charged_by_what_came(google: Google):
    target = Target("gemini", google.url, "AIza-secret", "gemini-2.5-flash")
    request, chunks = Request(Endpoint.CHAT, body(stream_options={"include_usage": True}), "a"), []

    async def take(chunk: Chunk) -> None:
        chunks.append(chunk)

    async with HttpClient() as http:
        gemini = GeminiProvider(http)
        google.says_whole(SAID["reasoning"])
        assert (await gemini.call(target, request)).usage == SAID["reasoning"].usage

        google.streams(SAID["plain"])
        outcome = await gemini.stream(target, request, take)
        assert "".join(chunk.text for chunk in chunks) == SAID["plain"].text
        assert (outcome.usage, outcome.finish_reason) == (SAID["plain"].usage, "stop")
        assert google.path.endswith(":streamGenerateContent?alt=sse")

        headers, stream = SPEECH.stream(SAID["plain"])
        google.says(headers, stream.rpartition(b"data:")[0])
        with pytest.raises(ProviderError) as raised:
            await gemini.stream(target, request, take)
    assert raised.value.kind is ErrorKind.SERVER
    assert raised.value.usage.input_tokens == 11
    assert raised.value.usage.output_tokens >= 1
    assert raised.value.usage.estimated
