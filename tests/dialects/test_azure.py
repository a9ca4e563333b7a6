"""What only Azure has: two forms of address, two ways to sign in, its filter's words, its limits' periods."""

import asyncio

import orjson
import pytest

from rateguard.engine.errors import ConfigurationError, ErrorKind, InvalidRequest, ProviderError
from rateguard.engine.providers.azure import options
from rateguard.engine.providers.azure.adapter import AzureProvider
from rateguard.engine.providers.azure.clouds import Cloud
from rateguard.engine.providers.azure.credentials import EntraTokens
from rateguard.engine.providers.base import Endpoint, Request, Target
from rateguard.engine.providers.http import HttpClient, Reply
from rateguard.engine.readings import Axis, Reading
from tests.dialects.azure_speech import PROMPT, SAFE, SPEECH
from tests.dialects.cases import SAID, body
from tests.dialects.test_dialects import STREAMED, read_in

CHAT = Request(Endpoint.CHAT, body(), "a-1")
PRINCIPAL = orjson.dumps({"tenant_id": "t/1", "client_id": "c", "client_secret": "s&cret"}).decode()


def at(base_url="https://acme.openai.azure.com", **given) -> Target:
    return Target("azure", base_url, "0123456789abcdef", "our mini/2", options=given)


@pytest.fixture
def azure():
    return AzureProvider(HttpClient())


@pytest.mark.parametrize(
    ("target", "endpoint", "url"),
    [
        (at(api_version="2024-10-21"), Endpoint.CHAT, "/openai/deployments/our%20mini%2F2/chat/completions?api-version=2024-10-21"),
        (at(api_version="2024-10-21"), Endpoint.EMBEDDINGS, "/openai/deployments/our%20mini%2F2/embeddings?api-version=2024-10-21"),
        (at(api_version="2025-03-01-preview"), Endpoint.RESPONSES, "/openai/responses?api-version=2025-03-01-preview"),
        (at(), Endpoint.CHAT, "/openai/v1/chat/completions"),
        (at("https://acme.openai.azure.com/openai/v1/", api_version="v1"), Endpoint.RESPONSES, "/openai/v1/responses"),
    ],
)
def test_an_account_says_which_form_its_addresses_have(azure, target, endpoint, url):
    wire = azure.write(target, Request(endpoint, {"model": "public", "input": "x"}, "a-1"), is_streamed=False)
    assert wire.url == f"https://acme.openai.azure.com{url}"
    assert wire.headers["api-key"] == target.api_key
    assert "Authorization" not in wire.headers
    assert orjson.loads(wire.body)["model"] == "our mini/2"


@pytest.mark.parametrize("given", [{"api_version": "soon"}, {"auth": "password"}, {"auth": "entra", "cloud": "moon"}])
def test_an_option_that_is_none_names_itself_and_what_to_write(azure, given):
    with pytest.raises(ConfigurationError, match=f"option {list(given)[-1]} .*write"):
        azure.write(at(**given), CHAT, is_streamed=False)


def test_a_deployments_model_decides_what_it_can(azure):
    asking = Request(Endpoint.CHAT, body(temperature=0), "a-1")
    azure.check(at(), asking)
    with pytest.raises(InvalidRequest):
        azure.check(at(model="o3-mini"), asking)


async def test_a_token_of_entra_goes_out_as_it_is(azure):
    target = Target("azure", "https://a", "ey.token", "d", options={"auth": "entra"})
    wire = await azure.authorize(target, azure.write(target, CHAT, is_streamed=False))
    assert wire.headers["Authorization"] == "Bearer ey.token"
    assert "api-key" not in wire.headers


async def serve(answers: list[bytes], seen: list[bytes]) -> tuple[asyncio.Server, str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        seen.append(head + await reader.readexactly(length))
        status, told = answers.pop(0).split(b" ", 1)
        writer.write(b"HTTP/1.1 %s X\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (status, len(told), told))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_service_principals_token_is_fetched_once_for_all_who_wait(monkeypatch):
    seen: list[bytes] = []
    server, url = await serve([b'200 {"access_token":"ey.1","expires_in":3599}'], seen)
    async with server, HttpClient() as http:
        monkeypatch.setitem(options.CLOUDS, "public", Cloud(url, "scope/.default"))
        provider, target = AzureProvider(http), Target("azure", "https://a", PRINCIPAL, "d", options={"auth": "entra"})
        wire = provider.write(target, CHAT, is_streamed=False)
        wires = await asyncio.gather(*(provider.authorize(target, wire) for _ in range(3)))

    assert [one.headers["Authorization"] for one in wires] == ["Bearer ey.1"] * 3
    (request,) = seen
    assert request.startswith(b"POST /t%2F1/oauth2/v2.0/token ")
    assert b"application/x-www-form-urlencoded" in request
    assert request.endswith(b"grant_type=client_credentials&client_id=c&client_secret=s%26cret&scope=scope%2F.default")


@pytest.mark.parametrize(
    ("told", "kind"),
    [(b'401 {"error":"invalid_client"}', ErrorKind.AUTH), (b"503 busy", ErrorKind.SERVER), (b"200 <html>", ErrorKind.AUTH)],
)
async def test_credentials_that_entra_refuses_are_wrong_and_its_faults_are_not(told, kind):
    server, url = await serve([told], [])
    async with server, HttpClient() as http:
        with pytest.raises(ProviderError) as raised:
            await EntraTokens(http).token(PRINCIPAL, Cloud(url, "scope"))
    assert raised.value.kind is kind
    assert "s&cret" not in str(raised.value)


async def test_a_principal_with_a_part_missing_says_what_credentials_are():
    with pytest.raises(ProviderError, match="tenant_id, client_id, client_secret"):
        await EntraTokens(HttpClient()).token('{"client_id": "c"}', Cloud("https://x", "scope"))


def test_what_the_filter_found_is_handed_on_whole_and_streamed(azure):
    headers, raw = SPEECH.whole(SAID["plain"])
    whole = orjson.loads(azure.read(SPEECH.target, CHAT, Reply(200, headers, raw, 0.0, 0.0)).body)
    headers, raw = SPEECH.stream(SAID["plain"])
    annotated = {
        "id": "",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "finish_reason": None, "content_filter_results": SAFE}],
    }
    late = raw.replace(b"data: [DONE]", b"data: " + orjson.dumps(annotated) + b"\n\ndata: [DONE]")
    reader = azure.reader(SPEECH.target, Request(Endpoint.CHAT, body(**STREAMED), "a"), headers)
    chunks = read_in(reader, [late])
    streamed = orjson.loads(reader.answer().body)

    assert whole["prompt_filter_results"] == streamed["prompt_filter_results"] == PROMPT
    assert whole["choices"][0]["content_filter_results"] == streamed["choices"][0]["content_filter_results"] == SAFE
    assert not chunks[0].has_content
    assert reader.is_complete


def test_a_stream_whose_first_piece_has_no_choice_is_not_over():
    headers, raw = SPEECH.stream(SAID["plain"])
    reader = AzureProvider(HttpClient()).reader(SPEECH.target, CHAT, headers)
    read_in(reader, [raw[: raw.index(b"\n\n") + 2]])
    assert not reader.is_complete


def test_its_limits_are_per_renewal_period_in_plain_seconds(azure):
    headers = {
        "x-ratelimit-limit-requests": "9000",
        "x-ratelimit-remaining-requests": "8999",
        "x-ratelimit-reset-requests": "0",
        "x-ratelimit-renewalperiod-requests": "10",
        "x-ratelimit-limit-tokens": "-1",
        "x-ratelimit-remaining-tokens": "5",
    }
    assert azure.readings(at(), headers) == (Reading(Axis.REQUESTS, 10_000, 9_000, 8_999, 0),)


def test_the_gateways_id_is_told_where_there_is_no_other(azure):
    assert azure.request_id({"apim-request-id": "a-1"}) == "a-1"
    assert azure.request_id({"apim-request-id": "a-1", "x-request-id": "r-1"}) == "r-1"


@pytest.mark.parametrize(
    ("target", "url"),
    [
        (at(api_version="2024-10-21"), "https://acme.openai.azure.com/openai/models?api-version=2024-10-21"),
        (at(), "https://acme.openai.azure.com/openai/v1/models"),
    ],
)
def test_it_is_asked_at_no_cost_for_its_models_which_are_no_deployments(azure, target, url):
    probe = azure.probe(target)
    assert probe.url == url
    assert probe.names(b'{"data":[{"id":"gpt-4o"}]}') == ()
    assert azure.probe(Target("azure", "https://a", PRINCIPAL, "d", options={"auth": "entra"})) is None
