"""The opt-in provider `litellm`, with a stand-in for the package, which is not installed: what it is called with, what comes out."""

import asyncio
import sys
import types

import orjson
import pytest

from rateguard.engine.errors import ConfigurationError, ErrorKind, InvalidRequest, NotSent, ProviderError
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Endpoint, Request, Target
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.registry import ProviderRegistry
from tests.dialects.cases import SAID, body
from tests.dialects.openai_speech import SPEECH

TARGET = Target("litellm", "", "key-0123456789", "cohere/command-a", options={"custom_llm_provider": "cohere"})
CHAT = Request(Endpoint.CHAT, body(temperature=0), "a-1", first_token_timeout_s=0.1, total_timeout_s=0.2)


class Told:
    """A pydantic object of litellm's."""

    def __init__(self, told: bytes) -> None:
        self._told = orjson.loads(told)

    def model_dump(self):
        return self._told


class Package(types.ModuleType):
    """A stand-in for litellm: answers what it is given, or raises it."""

    def __init__(self) -> None:
        super().__init__("litellm")
        self.seen: list[dict] = []
        self.wait_s = 0.0
        self.answer: object = None

    async def acompletion(self, **given):
        self.seen.append(given)
        await asyncio.sleep(self.wait_s)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.pieces() if given.get("stream") else Told(SPEECH.whole(SAID["plain"])[1])

    aembedding = acompletion

    async def pieces(self):
        for event in SPEECH.stream(SAID["plain"])[1].split(b"\n\n")[:-2]:
            if self.answer == "cut" and b'"stop"' in event:
                return
            yield Told(event.removeprefix(b"data: "))


@pytest.fixture
def package(monkeypatch):
    made = Package()
    monkeypatch.setitem(sys.modules, "litellm", made)
    return made


@pytest.fixture
def provider():
    return ProviderRegistry(HttpClient()).get("litellm")


async def test_a_call_has_no_retries_of_its_own_and_drops_nothing(package, provider):
    sent: list[float] = []
    outcome = await provider.call(TARGET, CHAT, sent.append)

    (given,) = package.seen
    assert (given["model"], given["api_key"], given["temperature"]) == ("cohere/command-a", "key-0123456789", 0)
    assert (given["num_retries"], given["max_retries"], given["drop_params"]) == (0, 0, False)
    assert given["custom_llm_provider"] == "cohere"
    assert given["api_base"] is None
    assert (outcome.usage, outcome.finish_reason) == (SAID["plain"].usage, "stop")
    assert orjson.loads(outcome.body)["choices"][0]["message"]["content"] == SAID["plain"].text
    assert sent == [outcome.sent_at]
    assert outcome.provider_request_id == "chatcmpl-1"


async def test_a_stream_hands_on_its_chunks_and_adds_up(package, provider):
    chunks = []

    async def take(chunk):
        chunks.append(chunk)

    outcome = await provider.stream(TARGET, CHAT, take)
    assert package.seen[0]["stream_options"] == {"include_usage": True}
    assert "".join(chunk.text for chunk in chunks) == SAID["plain"].text
    assert outcome.usage == SAID["plain"].usage


async def test_a_stream_that_just_ends_is_charged_by_what_came(package, provider):
    package.answer = "cut"
    with pytest.raises(ProviderError) as raised:
        await provider.stream(TARGET, CHAT, drop)
    assert (raised.value.kind, raised.value.may_be_billed) == (ErrorKind.SERVER, True)
    assert isinstance(raised.value.usage, Usage)
    assert raised.value.usage.estimated


async def drop(_chunk):
    pass


async def test_a_caller_who_stops_listening_is_not_an_error_of_the_provider(package, provider):
    class Enough(Exception):
        pass

    async def leave(_chunk):
        raise Enough

    with pytest.raises(Enough):
        await provider.stream(TARGET, CHAT, leave)


async def test_a_request_whose_time_is_over_is_not_made(package, provider):
    def refuse(_at):
        raise NotSent("its grant was over")

    for call in (provider.call(TARGET, CHAT, refuse), provider.stream(TARGET, CHAT, drop, refuse)):
        with pytest.raises(NotSent):
            await call
    assert package.seen == []


def raised_by_litellm(name, status=None, message="x", headers=None):
    kind = type(name, (Exception,), {})
    error = kind(message)
    error.message = message
    if status is not None:
        error.status_code = status
    error.response = types.SimpleNamespace(headers=headers or {})
    return error


@pytest.mark.parametrize(
    ("error", "kind", "wait_ms"),
    [
        (raised_by_litellm("RateLimitError", 429, headers={"Retry-After": "2"}), ErrorKind.RATE_LIMITED, 2_000),
        (raised_by_litellm("ContextWindowExceededError", 400), ErrorKind.CONTEXT_TOO_LONG, None),
        (raised_by_litellm("ContentPolicyViolationError", 400), ErrorKind.CONTENT_FILTER, None),
        (raised_by_litellm("AuthenticationError", 401, "bad key-0123456789"), ErrorKind.AUTH, None),
        (raised_by_litellm("NotFoundError", 404), ErrorKind.NOT_FOUND, None),
        (raised_by_litellm("Timeout", 408), ErrorKind.TIMEOUT, None),
        (raised_by_litellm("APIConnectionError", 500), ErrorKind.NETWORK, None),
        (raised_by_litellm("ServiceUnavailableError", 503), ErrorKind.OVERLOADED, None),
        (raised_by_litellm("UnsupportedParamsError", 400), ErrorKind.BAD_REQUEST, None),
        (ValueError("whatever"), ErrorKind.SERVER, None),
    ],
)
async def test_its_exceptions_are_errors_of_their_kind(package, provider, error, kind, wait_ms):
    package.answer = error
    for call in (provider.call(TARGET, CHAT), provider.stream(TARGET, CHAT, drop)):
        with pytest.raises(ProviderError) as raised:
            await call
        assert (raised.value.kind, raised.value.retry_after_ms) == (kind, wait_ms)
        assert "key-0123456789" not in str(raised.value)


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_what_does_not_answer_is_given_up(package, provider, is_streamed):
    package.wait_s = 5.0
    with pytest.raises(ProviderError) as raised:
        await (provider.stream(TARGET, CHAT, drop) if is_streamed else provider.call(TARGET, CHAT))
    assert (raised.value.kind, raised.value.may_be_billed) == (ErrorKind.TIMEOUT, True)


async def test_without_the_package_it_says_what_to_install(monkeypatch, provider):
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(ConfigurationError, match="pip install litellm"):
        await provider.call(TARGET, CHAT)


async def test_an_endpoint_that_it_lacks_is_refused_and_it_has_no_wire(provider):
    with pytest.raises(InvalidRequest):
        await provider.call(TARGET, Request(Endpoint.RESPONSES, {"input": "x"}, "a"))
    with pytest.raises(ConfigurationError):
        provider.write(TARGET, CHAT, is_streamed=False)
