"""What only Vertex AI has: addresses by location, tokens that run out, secrets of three kinds, Claude beside Gemini."""

import asyncio
import http.server
import threading
import urllib.parse
from collections.abc import Iterator

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from rateguard.engine.errors import ConfigurationError, ErrorKind, InvalidRequest, ProviderError
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Endpoint, Request, Target, Wire
from rateguard.engine.providers.http import HttpClient, Reply
from rateguard.engine.providers.vertex import credentials
from rateguard.engine.providers.vertex.adapter import VertexProvider
from rateguard.engine.providers.vertex.credentials import Token, Tokens
from tests.dialects.cases import SAID, body
from tests.dialects.gemini_speech import google_error
from tests.dialects.test_dialects import STREAMED, check_message, read_in
from tests.dialects.vertex_speech import SECRET

SERVICE = "https://aiplatform.googleapis.com"
PROJECT = "projects/acme-1/locations"
LOCAL = "http://127.0.0.1:9"
KEY = "AQ.express-key-0123456789"


def at(model="gemini-2.5-flash", region="", base_url=SERVICE, secret=SECRET, **options) -> Target:
    return Target("vertex", base_url, secret, model, region, options)


@pytest.fixture
def vertex():
    return VertexProvider(HttpClient())


def chat(**fields) -> Request:
    return Request(Endpoint.CHAT, body(**fields), "attempt-1")


# ---- addresses


@pytest.mark.parametrize(
    ("target", "url"),
    [
        (at(), f"{SERVICE}/v1beta1/{PROJECT}/global/publishers/google/models/gemini-2.5-flash"),
        (
            at(region="europe-west4"),
            f"https://europe-west4-aiplatform.googleapis.com/v1beta1/{PROJECT}/europe-west4/publishers/google/models/gemini-2.5-flash",
        ),
        (at(region="eu"), f"https://aiplatform.eu.rep.googleapis.com/v1beta1/{PROJECT}/eu/publishers/google/models/gemini-2.5-flash"),
        (
            at(location="us", base_url="https://us-central1-aiplatform.googleapis.com"),
            f"https://aiplatform.us.rep.googleapis.com/v1beta1/{PROJECT}/us/publishers/google/models/gemini-2.5-flash",
        ),
        (at(project="other", api_version="v1"), f"{SERVICE}/v1/projects/other/locations/global/publishers/google/models/gemini-2.5-flash"),
        (at("projects/1/locations/us/endpoints/7"), f"{SERVICE}/v1beta1/projects/1/locations/us/endpoints/7"),
        (
            at(base_url="https://llm.acme.example/v1", secret=KEY),
            "https://llm.acme.example/v1/publishers/google/models/gemini-2.5-flash",
        ),
    ],
)
def test_a_location_has_a_host_of_its_own(vertex, target, url):
    assert vertex.write(target, chat(), is_streamed=False).url == f"{url}:generateContent"
    assert vertex.write(target, chat(), is_streamed=True).url == f"{url}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize("region", ["evil.example/x", "us-central1.evil", "EU", "a" * 41])
def test_a_region_can_lead_to_no_other_host(vertex, region):
    with pytest.raises(ConfigurationError):
        vertex.write(at(region=region), chat(), is_streamed=False)


@pytest.mark.parametrize("secret", ["{not json", '{"type": "external_account", "credential_source": {"file": "/etc/shadow"}}'])
def test_a_secret_that_cannot_sign_is_told_without_being_shown(vertex, secret):
    with pytest.raises(ConfigurationError, match="secret") as raised:
        vertex.write(at(secret=secret, project="acme-1"), chat(), is_streamed=False)
    assert "shadow" not in str(raised.value)


@pytest.mark.parametrize("secret", ['{"type": "service_account"}', ""])
def test_a_project_is_named_by_the_secret_or_by_an_option(vertex, secret):
    with pytest.raises(ConfigurationError, match="project"):
        vertex.write(at(secret=secret), chat(), is_streamed=False)


def test_whose_quota_is_used_is_an_option(vertex):
    wire = vertex.write(at(quota_project="billing-7"), chat(), is_streamed=False)
    assert wire.headers["x-goog-user-project"] == "billing-7"


@pytest.mark.parametrize(
    "options", [{"quota_project": "a\r\nX-Evil: 1"}, {"project": "../.."}, {"generation": "new"}, {"generation": True}]
)
def test_an_option_that_can_be_none_is_told_by_its_name(vertex, options):
    with pytest.raises(ConfigurationError, match=r"project|generation"):
        vertex.write(at(**options), chat(), is_streamed=False)


async def test_an_api_key_needs_no_token(vertex):
    target = at(secret=KEY)
    wire = await vertex.authorize(target, vertex.write(target, chat(), is_streamed=False))
    assert wire.url == f"{SERVICE}/v1beta1/publishers/google/models/gemini-2.5-flash:generateContent"
    assert wire.headers["x-goog-api-key"] == KEY
    assert "Authorization" not in wire.headers
    assert vertex.probe(target) is None


# ---- tokens


class Clock:
    """Seconds of the wall clock, as the test says."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


class Fetches:
    """Hands out tokens of an hour; holds each fetch until it may go on, or fails it."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.count, self.failure = clock, 0, None
        self.may_go = threading.Event()
        self.may_go.set()

    def __call__(self, _: str) -> Token:
        self.may_go.wait(5)
        self.count += 1
        if self.failure:
            raise self.failure
        return Token(f"ya29.{self.count}", self.clock.now + 3_600)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def fetches(clock):
    return Fetches(clock)


@pytest.fixture
def tokens(fetches, clock):
    return Tokens(fetches, clock)


async def test_callers_at_once_wait_for_one_token_and_it_is_kept(tokens, fetches):
    got = await asyncio.gather(*(tokens.get("a") for _ in range(20)))
    assert {token.value for token in got} == {"ya29.1"}
    assert (await tokens.get("a")).value == "ya29.1"
    assert (await tokens.get("b")).value == "ya29.2"
    assert fetches.count == 2


async def test_a_token_near_its_end_is_renewed_while_it_is_used(tokens, fetches, clock):
    await tokens.get("a")
    clock.now += 3_600 - 200
    fetches.may_go.clear()
    assert (await tokens.get("a")).value == "ya29.1"
    assert (await tokens.get("a")).value == "ya29.1"
    fetches.may_go.set()
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    assert (await tokens.get("a")).value == "ya29.2"
    assert fetches.count == 2


async def test_a_token_that_is_over_or_was_refused_is_waited_for(tokens, fetches, clock):
    await tokens.get("a")
    clock.now += 3_600 - 10
    assert (await tokens.get("a")).value == "ya29.2"
    tokens.forget("a")
    assert (await tokens.get("a")).value == "ya29.3"


async def test_a_renewal_that_fails_harms_no_token_that_is_good_and_is_tried_again(tokens, fetches, clock):
    await tokens.get("a")
    clock.now += 3_600 - 200
    fetches.failure = ProviderError("down", kind=ErrorKind.CONNECT)
    assert (await tokens.get("a")).value == "ya29.1"
    clock.now += 190
    with pytest.raises(ProviderError):
        await tokens.get("a")
    fetches.failure = None
    assert (await tokens.get("a")).value.startswith("ya29.")


async def test_who_gives_up_waiting_stops_no_fetch_of_others(tokens, fetches):
    fetches.may_go.clear()
    first, second = asyncio.create_task(tokens.get("a")), asyncio.create_task(tokens.get("a"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    fetches.may_go.set()
    assert (await second).value == "ya29.1"


class TokenServer:
    """Google's token server, in small. asked: the forms that came."""

    def __init__(self) -> None:
        self.status, self.answer, self.asked = 200, {"access_token": "ya29.fetched", "expires_in": 3_599, "token_type": "Bearer"}, []
        ours = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                ours.asked.append(urllib.parse.parse_qs(self.rfile.read(int(self.headers["content-length"])).decode()))
                raw = orjson.dumps(ours.answer)
                self.send_response(ours.status)
                self.send_header("content-length", str(len(raw)))
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/token"


@pytest.fixture
def token_server() -> Iterator[TokenServer]:
    server = TokenServer()
    thread = threading.Thread(target=server.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.server.shutdown()
    server.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


def service_account(private_key: str, token_uri: str) -> dict:
    named = {"type": "service_account", "project_id": "acme-1", "client_email": "a@acme-1.iam.gserviceaccount.com"}
    return {**named, "private_key_id": "k1", "private_key": private_key, "token_uri": token_uri}


async def test_a_service_account_signs_for_a_token_which_the_call_carries(vertex, token_server, private_key):
    target = at(base_url=LOCAL, secret=orjson.dumps(service_account(private_key, token_server.url)).decode())
    wire = vertex.write(target, chat(), is_streamed=False)
    signed = [await vertex.authorize(target, wire) for _ in range(2)]
    assert {one.headers["Authorization"] for one in signed} == {"Bearer ya29.fetched"}
    assert "ya29" not in repr(signed[0])
    assert "PRIVATE KEY" not in str(dict(signed[0].headers))
    assert [form["grant_type"] for form in token_server.asked] == [["urn:ietf:params:oauth:grant-type:jwt-bearer"]]

    refused = vertex.error(target, 401, {}, google_error(401, "UNAUTHENTICATED", "no"))
    assert refused.kind is ErrorKind.AUTH
    await vertex.authorize(target, wire)
    assert len(token_server.asked) == 2


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, ErrorKind.AUTH),
        (200, {"nothing": "here"}, ErrorKind.AUTH),
    ],
)
async def test_a_token_that_google_does_not_give_is_an_error_of_the_account(vertex, token_server, private_key, status, answer, kind):
    token_server.status, token_server.answer = status, answer
    target = at(base_url=LOCAL, secret=orjson.dumps(service_account(private_key, token_server.url)).decode())
    with pytest.raises(ProviderError) as raised:
        await vertex.authorize(target, vertex.write(target, chat(), is_streamed=False))
    assert raised.value.kind is kind
    assert "PRIVATE" not in str(raised.value)


async def test_an_account_of_https_asks_for_no_token_elsewhere(vertex, token_server, private_key):
    target = at(secret=orjson.dumps(service_account(private_key, token_server.url)).decode())
    with pytest.raises(ConfigurationError, match="token_uri"):
        await vertex.authorize(target, vertex.write(target, chat(), is_streamed=False))
    assert token_server.asked == []


async def test_a_key_that_is_none_is_an_error_of_the_account(vertex):
    with pytest.raises(ProviderError) as raised:
        await vertex.authorize(at(), vertex.write(at(), chat(), is_streamed=False))
    assert raised.value.kind is ErrorKind.AUTH


async def test_this_machines_own_credentials_serve_an_account_without_a_secret_and_go_to_google_alone(
    vertex, token_server, private_key, tmp_path, monkeypatch
):
    path = tmp_path / "adc.json"
    path.write_bytes(orjson.dumps(service_account(private_key, token_server.url)))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    target = at(secret="", project="acme-1")
    wire = await vertex.authorize(target, vertex.write(target, chat(), is_streamed=False))
    assert wire.headers["Authorization"] == "Bearer ya29.fetched"
    assert vertex.probe(target).headers["Authorization"] == "Bearer ya29.fetched"

    for base_url in (
        "https://evil.example",
        "https://evil-aiplatform.googleapis.com.evil.example",
        "http://aiplatform.googleapis.com.x",
        "http://aiplatform.eu.rep.googleapis.com",
    ):
        elsewhere = at(secret="", project="acme-1", base_url=base_url)
        with pytest.raises(ConfigurationError):
            await vertex.authorize(elsewhere, vertex.write(elsewhere, chat(), is_streamed=False))


async def test_without_google_auth_the_error_says_what_to_install(vertex, monkeypatch):
    def missing() -> None:
        raise ImportError

    monkeypatch.setattr(credentials, "_GoogleAuth", missing)
    credentials._google_auth.cache_clear()
    with pytest.raises(ConfigurationError, match=r"rateguard\[vertex\]"):
        await vertex.authorize(at(), Wire(SERVICE, {}, b""))
    credentials._google_auth.cache_clear()


# ---- embeddings and counts


def test_newer_models_embed_by_content_and_older_ones_by_prediction(vertex):
    request = Request(Endpoint.EMBEDDINGS, {"model": "m", "input": ["one", "two"], "dimensions": 2}, "a")
    new, single = at("gemini-embedding-2", task_type="RETRIEVAL_QUERY"), Request(Endpoint.EMBEDDINGS, {"input": "one"}, "a")
    batch, one = (vertex.write(new, each, is_streamed=False) for each in (request, single))
    config = {"autoTruncate": False, "outputDimensionality": 2, "taskType": "RETRIEVAL_QUERY"}
    assert batch.url.endswith("gemini-embedding-2:batchEmbedContents")
    assert orjson.loads(batch.body)["requests"][1] == {"content": {"parts": [{"text": "two"}]}, "embedContentConfig": config}
    assert one.url.endswith("gemini-embedding-2:embedContent")
    told = {"embedding": {"values": [0.5, 1.0]}, "usageMetadata": {"promptTokenCount": 4}}
    assert vertex.read(new, single, Reply(200, {}, orjson.dumps(told), 0.0, 0.0)).usage == Usage(input_tokens=4)

    old = at("text-embedding-005")
    asked = orjson.loads(vertex.write(old, request, is_streamed=False).body)
    assert asked == {
        "instances": [{"content": "one"}, {"content": "two"}],
        "parameters": {"autoTruncate": False, "outputDimensionality": 2},
    }
    predictions = [
        {"embeddings": {"values": [float(number), 1.0], "statistics": {"token_count": 3, "truncated": False}}} for number in (1, 2)
    ]
    answer = vertex.read(old, request, Reply(200, {}, orjson.dumps({"predictions": predictions}), 0.0, 0.0))
    assert answer.usage == Usage(input_tokens=6)
    assert [one["embedding"][0] for one in orjson.loads(answer.body)["data"]] == [1.0, 2.0]


def test_a_count_is_asked_of_the_model_that_will_answer(vertex):
    wire = vertex.write_count(at(), chat())
    assert wire.url.endswith("gemini-2.5-flash:countTokens")
    assert set(orjson.loads(wire.body)) == {"contents", "systemInstruction", "generationConfig"}
    claude = vertex.write_count(at("claude-sonnet-5@20260801"), chat())
    assert claude.url.endswith("publishers/anthropic/models/count-tokens:rawPredict")
    assert orjson.loads(claude.body)["model"] == "claude-sonnet-5@20260801"
    assert vertex.read_count(at("claude-sonnet-5"), Reply(200, {}, b'{"input_tokens": 12}', 0.0, 0.0)) == 12


# ---- Claude

CLAUDE = at("claude-sonnet-4-6", "us-east5")


def test_claude_is_asked_raw_under_its_own_publisher(vertex):
    wires = [vertex.write(CLAUDE, chat(temperature=0), is_streamed=is_streamed) for is_streamed in (False, True)]
    path = f"https://us-east5-aiplatform.googleapis.com/v1/{PROJECT}/us-east5/publishers/anthropic/models/claude-sonnet-4-6"
    assert [wire.url for wire in wires] == [f"{path}:rawPredict", f"{path}:streamRawPredict"]
    whole, streamed = (orjson.loads(wire.body) for wire in wires)
    assert (whole["anthropic_version"], whole["max_tokens"], whole["system"], whole["temperature"]) == (
        "vertex-2023-10-16",
        64,
        [{"type": "text", "text": "Be brief."}] if isinstance(whole["system"], list) else "Be brief.",
        0,
    )
    assert "model" not in whole
    assert streamed == {**whole, "stream": True}


def test_claude_is_asked_for_what_claude_has(vertex):
    with pytest.raises(InvalidRequest):
        vertex.check(CLAUDE, chat(seed=7))
    vertex.check(at(), chat(seed=7))
    with pytest.raises(InvalidRequest):
        vertex.check(at("claude-sonnet-4-6", anthropic_version="2026-10-21"), chat(temperature=0))
    vertex.check(at("claude-sonnet-4-6", api_version="v1"), chat(temperature=0))


@pytest.mark.parametrize("case", ["plain", "tools_behind_text", "cached"])
def test_claude_is_heard_as_at_anthropic(vertex, case):
    anthropic = pytest.importorskip("tests.dialects.anthropic_speech").SPEECH
    headers, raw = anthropic.whole(SAID[case])
    answer = vertex.read(CLAUDE, chat(), Reply(200, headers, raw, 0.0, 0.0))
    check_message(orjson.loads(answer.body)["choices"][0]["message"], SAID[case])
    assert answer.usage == SAID[case].usage
    headers, raw = anthropic.stream(SAID[case])
    reader = vertex.reader(CLAUDE, chat(**STREAMED), headers)
    assert "".join(chunk.text for chunk in read_in(reader, [raw])) == SAID[case].text
    assert reader.is_complete


def test_claudes_errors_are_anthropics_and_those_before_it_googles(vertex):
    busy = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    assert vertex.error(CLAUDE, 529, {}, busy).kind is ErrorKind.OVERLOADED
    shared = vertex.error(CLAUDE, 429, {}, google_error(429, "RESOURCE_EXHAUSTED", "Quota exceeded"))
    assert (shared.kind, shared.cools, shared.retry_after_ms) == (ErrorKind.RATE_LIMITED, "deployment", 2_000)
    assert vertex.error(CLAUDE, 502, {}, b"<html>").kind is ErrorKind.SERVER
