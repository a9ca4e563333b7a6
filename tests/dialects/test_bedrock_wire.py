"""Bedrock on the wire: signatures as botocore's, frames as botocore's, credentials of every kind, and boto3 as the judge of our speech."""

from __future__ import annotations

import asyncio
import datetime as dt
import struct
import sys
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit
from zlib import crc32

import boto3
import botocore.auth
import botocore.exceptions
import orjson
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.eventstream import EventStreamBuffer
from botocore.utils import ContainerMetadataFetcher
from hypothesis import given
from hypothesis import strategies as st

from rateguard.engine.errors import ConfigurationError, ErrorKind, ProviderError
from rateguard.engine.providers.base import Chunk, Endpoint, Request, Target
from rateguard.engine.providers.bedrock import machine, probe
from rateguard.engine.providers.bedrock.adapter import BedrockProvider
from rateguard.engine.providers.bedrock.endpoint import base_url_of, region_of, url_of
from rateguard.engine.providers.bedrock.eventstream import Frames
from rateguard.engine.providers.bedrock.secret import Bearer, Keys, parse_secret
from rateguard.engine.providers.bedrock.signing import signed_headers
from rateguard.engine.providers.http import HttpClient
from tests.dialects.awsserver import AwsServer, Canned, aws_server
from tests.dialects.bedrock_speech import SPEECH, event, exception, frame
from tests.dialects.cases import SAID, body

KEYS = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
SESSION = Keys("ASIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "IQoJb3JpZ2luX2VjE+/token==")
MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
PROFILE_ARN = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-6"
AT = dt.datetime(2026, 11, 21, 12, 30, 5, tzinfo=dt.UTC)


@pytest.fixture
def server() -> Iterator[AwsServer]:
    with aws_server() as running:
        yield running


@pytest.fixture
def no_aws(monkeypatch, tmp_path):
    """A machine without any credentials of AWS."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


def target_at(server: AwsServer, secret: str = "", **options) -> Target:
    return Target("bedrock", server.url, secret, MODEL, "us-east-1", options)


def client(server: AwsServer):
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=server.url,
        aws_access_key_id=KEYS.access_key_id,
        aws_secret_access_key=KEYS.secret_access_key,
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )


# ---- signatures


@pytest.mark.parametrize("keys", [KEYS, SESSION], ids=["keys", "session"])
@pytest.mark.parametrize("model", [MODEL, PROFILE_ARN, "amazon.titan-embed-text-v2:0"])
def test_a_request_is_signed_byte_for_byte_as_botocore_signs_it(monkeypatch, keys: Keys, model: str):
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: AT)
    url = url_of(Target("bedrock", "", "", model, "eu-central-1"), "converse")
    headers = {"Content-Type": "application/json", "X-Amzn-Bedrock-Request-Metadata": '{"a":  "b"}'}
    theirs = AWSRequest("POST", url, headers=headers, data=b'{"messages":[]}')
    frozen = ReadOnlyCredentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None)
    SigV4Auth(frozen, "bedrock", "eu-central-1").add_auth(theirs)

    ours = signed_headers(keys, "eu-central-1", url, headers, b'{"messages":[]}', AT.timestamp())

    assert ours.pop("Host") == "bedrock-runtime.eu-central-1.amazonaws.com"
    assert ours == dict(theirs.headers.items())


async def test_boto3_and_we_send_the_same_path_and_the_same_signature(server: AwsServer):
    server.answers(Canned(SPEECH.whole(SAID["plain"])[1], SPEECH.whole(SAID["plain"])[0]))
    client(server).converse(modelId=MODEL, messages=[{"role": "user", "content": [{"text": "hi"}]}])
    (asked,) = server.asked

    assert asked.path == urlsplit(url_of(target_at(server), "converse")).path
    at = dt.datetime.strptime(asked.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    ours = signed_headers(KEYS, "us-east-1", server.url + asked.path, {"Content-Type": "application/json"}, asked.body, at.timestamp())
    assert ours["Authorization"] == asked.headers["Authorization"]


async def test_a_signed_call_arrives_as_it_was_signed(server: AwsServer):
    headers, whole = SPEECH.whole(SAID["plain"])
    server.answers(Canned(whole, headers))
    async with HttpClient() as http:
        outcome = await BedrockProvider(http).call(target_at(server, "AKIAIOSFODNN7EXAMPLE:" + KEYS.secret_access_key), chat())

    (asked,) = server.asked
    at = dt.datetime.strptime(asked.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    again = signed_headers(KEYS, "us-east-1", server.url + asked.path, {"Content-Type": "application/json"}, asked.body, at.timestamp())
    assert asked.path == "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse"
    assert (asked.headers["Authorization"], asked.headers["Host"]) == (again["Authorization"], again["Host"])
    assert (outcome.provider_request_id, outcome.usage) == (headers["x-amzn-requestid"], SAID["plain"].usage)


async def test_a_stream_is_read_over_http_with_an_api_key(server: AwsServer):
    headers, whole = SPEECH.stream(SAID["plain"])
    server.answers(Canned(whole, headers))
    chunks: list[Chunk] = []

    async def keep(chunk: Chunk) -> None:
        chunks.append(chunk)

    async with HttpClient() as http:
        outcome = await BedrockProvider(http).stream(target_at(server, "ABSKQmVkcm9ja0FQSUtleS0xMjM0"), chat(stream=True), keep)

    assert "".join(chunk.text for chunk in chunks) == SAID["plain"].text
    assert outcome.usage == SAID["plain"].usage
    assert server.asked[0].headers["Authorization"] == "Bearer ABSKQmVkcm9ja0FQSUtleS0xMjM0"
    assert server.asked[0].headers["Accept"] == "application/vnd.amazon.eventstream"


def chat(**fields: object) -> Request:
    return Request(Endpoint.CHAT, body(**fields), "attempt-1")


# ---- what boto3 hears


async def test_boto3_believes_what_we_say_bedrock_says(server: AwsServer):
    whole, stream, said = SPEECH.whole(SAID["tools_behind_text"]), SPEECH.stream(SAID["plain"]), SPEECH.errors()["limit"]
    broken = event("messageStart", {"role": "assistant"}) + exception("throttlingException", "Too many tokens")
    server.answers(
        Canned(whole[1], whole[0]), Canned(stream[1], stream[0]), Canned(broken, stream[0]), Canned(said.body, said.headers, said.status)
    )
    bedrock, ask = client(server), {"modelId": MODEL, "messages": [{"role": "user", "content": [{"text": "hi"}]}]}

    answer = bedrock.converse(**ask)
    events = list(bedrock.converse_stream(**ask)["stream"])
    with pytest.raises(botocore.exceptions.EventStreamError, match="throttlingException"):
        list(bedrock.converse_stream(**ask)["stream"])
    with pytest.raises(bedrock.exceptions.ThrottlingException):
        bedrock.converse(**ask)

    content = answer["output"]["message"]["content"]
    assert [next(iter(block)) for block in content] == ["text", "toolUse", "toolUse"]
    assert (answer["stopReason"], answer["usage"]["outputTokens"]) == ("tool_use", SAID["plain"].usage.output_tokens)
    deltas = [one["contentBlockDelta"]["delta"] for one in events if "contentBlockDelta" in one]
    assert "".join(delta["text"] for delta in deltas) == SAID["plain"].text
    assert next(iter(events[-1])) == "metadata"


# ---- frames

OTHER_TYPES = (
    b"\x01a\x00" + b"\x01b\x01" + b"\x01c\x02\x07" + b"\x01d\x03\x00\x07" + b"\x01e\x04" + bytes(4) + b"\x01f\x05" + bytes(8)
    + b"\x01g\x06\x00\x03abc" + b"\x01h\x08" + bytes(8) + b"\x01i\x09" + bytes(16)
)  # fmt: skip


def with_raw_headers(raw: bytes, payload: bytes) -> bytes:
    lengths = struct.pack(">II", 16 + len(raw) + len(payload), len(raw))
    start = lengths + struct.pack(">I", crc32(lengths)) + raw + payload
    return start + struct.pack(">I", crc32(start))


@pytest.mark.parametrize(
    "raw",
    [
        event("metadata", {"usage": {}}),
        exception("validationException", "ä"),
        frame({":message-type": "error", ":error-code": "X", ":error-message": "y"}, b""),
        with_raw_headers(OTHER_TYPES + b"\x0b:event-type\x07\x00\x04ping", b"{}"),
    ],
    ids=["event", "exception", "error", "every type of header"],
)
def test_a_frame_is_read_as_botocore_reads_it(raw: bytes):
    buffer = EventStreamBuffer()
    buffer.add_data(raw)
    (theirs,) = list(buffer)
    ((head, payload),) = list(Frames().feed(raw))

    assert payload == theirs.payload
    assert head.kind == theirs.headers.get(":message-type", "event")
    assert head.name == (theirs.headers.get(f":{head.kind}-type") or theirs.headers.get(":error-code"))
    assert head.message == theirs.headers.get(":error-message", "")


@given(st.binary(max_size=200), st.integers(0, 200))
def test_whatever_bytes_come_they_are_frames_or_a_malformed_answer(noise: bytes, at: int):
    good = event("messageStart", {"role": "assistant"})
    data = good[:at] + noise + good[at:]
    try:
        list(Frames().feed(data))
    except ProviderError as error:
        assert (error.kind, error.may_be_billed) == (ErrorKind.SERVER, True)  # noqa: PT017 - most noise raises


def test_a_frame_larger_than_aws_makes_is_refused_before_it_is_waited_for():
    lengths = struct.pack(">II", 2**31, 0)
    with pytest.raises(ProviderError, match="wrong head"):
        list(Frames().feed(lengths + struct.pack(">I", crc32(lengths))))


# ---- credentials


@pytest.mark.parametrize(
    ("secret", "held"),
    [
        ('{"access_key_id": "AKIA1", "secret_access_key": "s"}', Keys("AKIA1", "s")),
        ('{"access_key_id": "ASIA1", "secret_access_key": "s", "session_token": "t"}', Keys("ASIA1", "s", "t")),
        ("AKIAIOSFODNN7EXAMPLE:abc/def+g=", Keys("AKIAIOSFODNN7EXAMPLE", "abc/def+g=")),
        ("ASIAIOSFODNN7EXAMPLE:abc:tok/en==", Keys("ASIAIOSFODNN7EXAMPLE", "abc", "tok/en==")),
        ("ABSKQmVkcm9jaw==", Bearer("ABSKQmVkcm9jaw==")),
        ("bedrock-api-key-YmVkcm9jay5h", Bearer("bedrock-api-key-YmVkcm9jay5h")),
        ("", None),
    ],
)
def test_a_secret_is_keys_or_an_api_key_or_nothing(secret: str, held: object):
    assert parse_secret(secret) == held
    assert not secret or secret.rsplit(":", maxsplit=1)[-1] not in repr(held)


@pytest.mark.parametrize(
    "secret",
    [
        "{",
        "{}",
        '{"access_key_id": "AKIA1"}',
        '{"access_key_id": "a", "secret_access_key": "hush", "region": "x"}',
        "AKIAIOSFODNN7EXAMPLE hush",
    ],
)
def test_a_secret_of_no_known_form_says_what_to_write_and_nothing_of_itself(secret: str):
    with pytest.raises(ConfigurationError, match="access_key_id") as raised:
        parse_secret(secret)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("secret", ['{"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "hush/hush+hush"}', "ABSKhushhushhush"])
def test_no_part_of_a_secret_comes_out_in_an_error(secret: str):
    held = parse_secret(secret)
    alone = held.token if isinstance(held, Bearer) else held.secret_access_key
    said = orjson.dumps({"message": f"no: {secret} {alone} AKIAIOSFODNN7EXAMPLE ABSKhushhushhush"})
    error = BedrockProvider(HttpClient()).error(Target("bedrock", "", secret, MODEL, "us-east-1"), 403, {}, said)
    assert "hush" not in str(error)
    assert "AKIA" not in str(error)
    assert str(error).startswith("403 error: no: ")


def test_what_aws_says_back_of_a_wrong_signature_shows_no_token():
    said = b'{"message":"The Canonical String should have been\\n host:x\\nx-amz-security-token:IQoJhush/hush==\\n\\nhost"}'
    error = BedrockProvider(HttpClient()).error(Target("bedrock", "", "", MODEL, "us-east-1"), 403, {}, said)
    assert "hush" not in str(error)
    assert "host:x" in str(error)


async def test_without_botocore_it_says_what_to_install(no_aws, monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(ConfigurationError, match=r"pip install \"rateguard\[bedrock\]\""):
        await machine.MachineCredentials().of("")


async def test_the_environment_and_profiles_are_found(no_aws, monkeypatch):
    (no_aws / "credentials").write_text("[team]\naws_access_key_id = AKIATEAM\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    found = machine.MachineCredentials()
    assert await found.of("") == Keys("AKIAENV", "s")
    assert await found.of("team") == Keys("AKIATEAM", "s")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "ABSKenv")
    assert await found.of("") == Bearer("ABSKenv")


async def test_a_machine_without_credentials_says_what_to_do(no_aws):
    with pytest.raises(ProviderError, match="give it a role or a profile") as raised:
        await machine.MachineCredentials().of("")
    assert raised.value.kind == ErrorKind.AUTH
    with pytest.raises(ProviderError, match="ProfileNotFound") as unknown:
        await machine.MachineCredentials().of("nobody")
    assert unknown.value.kind == ErrorKind.AUTH


async def test_whoever_hands_out_credentials_may_be_away_for_a_while(no_aws, monkeypatch, server: AwsServer):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url)
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)
    server.answers(Canned(b"busy", status=503))
    with pytest.raises(ProviderError, match="CredentialRetrievalError") as raised:
        await machine.MachineCredentials().of("")
    assert raised.value.kind == ErrorKind.CONNECT


def role(key: str, minutes: float) -> Canned:
    until = (dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)).isoformat()
    return Canned(orjson.dumps({"AccessKeyId": key, "SecretAccessKey": "s", "Token": "t", "Expiration": until}))


async def test_a_roles_credentials_are_renewed_before_they_end_and_fetched_once_for_many(no_aws, monkeypatch, server: AwsServer):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url)
    server.answers(role("ASIAFIRST", 60), role("ASIASECOND", 60))
    asking, fetch = [], ContainerMetadataFetcher.retrieve_full_uri
    monkeypatch.setattr(
        ContainerMetadataFetcher, "retrieve_full_uri", lambda *args, **named: asking.append(threading.get_ident()) or fetch(*args, **named)
    )
    ahead_s = [0.0]
    found = machine.MachineCredentials(lambda: time.time() + ahead_s[0])

    first = await found.of("")
    found._found[""].credentials._expiry_time = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=14)
    ahead_s[0] = 46 * 60
    meanwhile = await asyncio.gather(*(found.of("") for _ in range(20)))
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    ahead_s[0] = 0
    renewed = await found.of("")

    assert set(meanwhile) == {first} == {Keys("ASIAFIRST", "s", "t")}
    assert renewed == Keys("ASIASECOND", "s", "t")
    assert len(server.asked) == len(asking) == 2
    assert threading.get_ident() not in asking  # the event loop went on


async def test_a_roles_credentials_that_were_refused_are_fetched_anew_but_fresh_ones_are_wrong(no_aws, monkeypatch, server: AwsServer):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url)
    with aws_server() as bedrock:
        expired = SPEECH.errors()["token"]
        headers, whole = SPEECH.whole(SAID["plain"])
        refusal = Canned(expired.body, expired.headers, expired.status)
        bedrock.answers(refusal, refusal, Canned(whole, headers))
        server.answers(role("ASIAFIRST", 60), role("ASIASECOND", 60))
        async with HttpClient() as http:
            provider = BedrockProvider(http)
            with pytest.raises(ProviderError) as fresh:
                await provider.call(target_at(bedrock), chat())
            monkeypatch.setattr(machine, "FRESH_S", 0.0)
            with pytest.raises(ProviderError) as stale:
                await provider.call(target_at(bedrock), chat())
            await provider.call(target_at(bedrock), chat())

    assert (fresh.value.kind, stale.value.kind) == (ErrorKind.AUTH, ErrorKind.SERVER)
    ids = [asked.headers["Authorization"].split("Credential=")[1].split("/")[0] for asked in bedrock.asked]
    assert ids == ["ASIAFIRST", "ASIAFIRST", "ASIASECOND"]


async def test_calls_that_were_on_their_way_with_old_credentials_are_all_worth_another_try(no_aws, monkeypatch, server: AwsServer):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url)
    server.answers(role("ASIAFIRST", 60), role("ASIASECOND", 60))
    found = machine.MachineCredentials()
    assert not found.forget("")  # there never were any
    await found.of("")
    assert not found.forget("")  # they are fresh
    found._found[""].at_s -= machine.FRESH_S
    assert found.forget("")
    assert found.forget("")  # a second call of the same burst
    await found.of("")
    assert found.forget("")  # and one that comes late
    monkeypatch.setattr(machine, "BURST_S", 0.0)
    assert not found.forget("")  # by now they are the new ones


async def test_what_the_machine_is_trusted_with_goes_to_aws_alone(no_aws, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "ABSKenv")
    provider = BedrockProvider(HttpClient())
    for url in (
        "https://bedrock-runtime.us-east-1.example.com",
        "https://bedrock-runtime.us-east-1.amazonaws.com.example.com",
        "https://bedrock-runtime.s3.us-east-1.amazonaws.com",
        "http://bedrock-runtime.us-east-1.amazonaws.com",
    ):
        target = Target("bedrock", url, "", MODEL, "us-east-1")
        with pytest.raises(ConfigurationError, match="go to AWS alone"):
            await provider.authorize(target, provider.write(target, chat(), is_streamed=False))
    target = Target("bedrock", "https://bedrock-runtime.us-east-1.amazonaws.com", "", MODEL)
    wire = await provider.authorize(target, provider.write(target, chat(), is_streamed=False))
    assert wire.headers["Authorization"] == "Bearer ABSKenv"


# ---- where it goes

_FIPS = "https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com"
_PRIVATE = "https://vpce-1-2.bedrock-runtime.eu-west-1.vpce.amazonaws.com"


@pytest.mark.parametrize(
    ("base_url", "region", "goes_to", "signed_for"),
    [
        ("", "eu-central-1", "https://bedrock-runtime.eu-central-1.amazonaws.com", "eu-central-1"),
        ("", "cn-north-1", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/", "", "https://bedrock-runtime.us-east-1.amazonaws.com", "us-east-1"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com", "ap-south-1", "https://bedrock-runtime.ap-south-1.amazonaws.com", "ap-south-1"),
        (_FIPS, "", _FIPS, "us-gov-west-1"),
        (_PRIVATE, "", _PRIVATE, "eu-west-1"),
        ("http://127.0.0.1:9000", "us-west-2", "http://127.0.0.1:9000", "us-west-2"),
    ],
)
def test_a_deployments_region_chooses_the_host_and_the_signature(base_url: str, region: str, goes_to: str, signed_for: str):
    target = Target("bedrock", base_url, "", MODEL, region)
    assert (base_url_of(target), region_of(target)) == (goes_to, signed_for)


def test_without_any_region_it_says_where_to_write_one():
    for base_url in ("", "https://proxy.example.com"):
        with pytest.raises(ConfigurationError, match="a region such as us-east-1"):
            region_of(Target("bedrock", base_url, "", MODEL))


def test_the_list_of_models_is_asked_of_awss_own_hosts_alone(monkeypatch):
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: AT)
    monkeypatch.setattr(probe.time, "time", AT.timestamp)
    provider, keys = BedrockProvider(HttpClient()), f"{KEYS.access_key_id}:{KEYS.secret_access_key}"
    asked = provider.probe(Target("bedrock", _FIPS, keys, MODEL))
    assert asked is not None
    theirs = AWSRequest("GET", "https://bedrock-fips.us-gov-west-1.amazonaws.com/foundation-models")
    SigV4Auth(ReadOnlyCredentials(KEYS.access_key_id, KEYS.secret_access_key, None), "bedrock", "us-gov-west-1").add_auth(theirs)
    assert (asked.url, asked.headers["Authorization"]) == (theirs.url, theirs.headers["Authorization"])
    assert asked.names(b'{"modelSummaries":[{"modelId":"b"},{"modelId":"a"}]}') == ("a", "b")
    assert asked.names(b"<html>") == asked.names(b"{}") == ()
    for url in (_PRIVATE, "http://127.0.0.1:9000", "https://bedrock-runtime.us-east-1.example.com"):
        assert provider.probe(Target("bedrock", url, keys, MODEL, "us-east-1")) is None
