"""Gemini's adapters over real HTTP, against the simulated provider: what they charge is what it bills; what each failure means."""

from collections.abc import AsyncIterator

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.providers.base import Chunk, Endpoint, Request, Target
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.registry import ProviderRegistry
from rateguard.engine.providers.sim.config import LimitRule
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.process import SimHandle
from tests.dialects.cases import HISTORY, WEATHER, body
from tests.simprovider import sim, sim_process  # noqa: F401 - fixtures

MODEL = "gemini-3.8-flash"
NAMES = ["gemini", "vertex"]


@pytest.fixture
async def registry() -> AsyncIterator[ProviderRegistry]:
    async with HttpClient() as http:
        yield ProviderRegistry(http)


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


@pytest.fixture
def target(sim: SimHandle, private_key: str):  # noqa: F811
    """A target by the provider's name; Vertex's has a service account whose tokens the simulated provider gives."""

    def make(name: str, model: str = MODEL) -> Target:
        if name == "gemini":
            return Target(name, sim.url, "AIza-ann", model)
        named = {"type": "service_account", "project_id": "p", "client_email": "ann", "private_key_id": "1"}
        secret = orjson.dumps({**named, "private_key": private_key, "token_uri": f"{sim.url}/token"}).decode()
        return Target(name, sim.url, secret, model, "europe-west4")

    return make


def chat(**fields) -> Request:
    return Request(Endpoint.CHAT, body(**fields), "attempt-1")


async def nowhere(_: Chunk) -> None:
    """What a stream says is not looked at."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"messages": HISTORY, "tools": [WEATHER], "tool_choice": "required"},
        {"reasoning_effort": "low", "max_tokens": 400, "service_tier": "flex"},
    ],
    ids=["plain", "tools", "thoughts"],
)
async def test_what_is_charged_is_what_is_billed_whole_and_streamed(registry, target, sim: SimHandle, name, fields):  # noqa: F811
    provider, at = registry.get(name), target(name)
    outcomes = [await provider.call(at, chat(**fields)), await provider.stream(at, chat(**fields), nowhere)]
    for outcome, line in zip(outcomes, sim.control.bill(), strict=True):
        usage = outcome.usage
        assert (usage.all_input_tokens, usage.cached_tokens) == (line.input_tokens, line.cached_tokens)
        assert (usage.output_tokens, usage.reasoning_tokens) == (line.output_tokens, line.reasoning_tokens)
        assert usage.tier == line.tier
        assert not usage.estimated


@pytest.mark.parametrize("name", NAMES)
async def test_embeddings_and_counts_are_the_provider_s(registry, target, sim: SimHandle, name):  # noqa: F811
    provider = registry.get(name)
    request = Request(Endpoint.EMBEDDINGS, {"model": "m", "input": ["one", "two"], "dimensions": 8}, "a")
    for model in ("gemini-embedding-001", "gemini-embedding-2"):
        outcome = await provider.call(target(name, model), request)
        assert [len(one["embedding"]) for one in orjson.loads(outcome.body)["data"]] == [8, 8]
        assert outcome.usage.input_tokens == sim.control.bill()[-1].input_tokens
    charged = (await provider.call(target(name), chat())).usage
    wire = await provider.authorize(target(name), provider.write_count(target(name), chat()))
    async with HttpClient() as http:
        assert provider.read_count(target(name), await http.post(wire, chat())) == charged.input_tokens


@pytest.mark.parametrize(
    ("kind", "means", "cools"),
    [
        (FaultKind.RATE_LIMITED, ErrorKind.RATE_LIMITED, None),
        (FaultKind.SHARED_CAPACITY, ErrorKind.RATE_LIMITED, "deployment"),
        (FaultKind.DAILY_QUOTA, ErrorKind.QUOTA_EXHAUSTED, None),
        (FaultKind.CONTEXT_LENGTH, ErrorKind.CONTEXT_TOO_LONG, ""),
        (FaultKind.UNAUTHORIZED, ErrorKind.AUTH, ""),
        (FaultKind.SERVER_ERROR, ErrorKind.SERVER, ""),
        (FaultKind.OVERLOADED, ErrorKind.OVERLOADED, ""),
        (FaultKind.TIMEOUT, ErrorKind.SERVER, ""),
        (FaultKind.HTML, ErrorKind.SERVER, ""),
        (FaultKind.MALFORMED, ErrorKind.SERVER, ""),
    ],
)
async def test_each_fault_is_known(registry, target, sim: SimHandle, kind, means, cools):  # noqa: F811
    sim.control.add_faults(Fault(kind))
    with pytest.raises(ProviderError) as raised:
        await registry.get("gemini").call(target("gemini"), chat())
    assert raised.value.kind == means
    assert cools is None or raised.value.cools == cools


async def test_vertex_rests_shortly_where_its_pool_is_busy_and_gets_another_token_where_its_own_was_refused(
    registry,
    target,
    sim: SimHandle,  # noqa: F811
):
    vertex, kinds = registry.get("vertex"), []
    for kind in (FaultKind.SHARED_CAPACITY, FaultKind.UNAUTHORIZED):
        sim.control.add_faults(Fault(kind))
        with pytest.raises(ProviderError) as raised:
            await vertex.call(target("vertex"), chat())
        kinds.append((raised.value.kind, raised.value.cools, raised.value.retry_after_ms))
    assert kinds == [(ErrorKind.RATE_LIMITED, "deployment", 2_000), (ErrorKind.AUTH, "", None)]
    assert (await vertex.call(target("vertex"), chat())).finish_reason


@pytest.mark.parametrize(
    ("kind", "means"),
    [
        (FaultKind.CUT_STREAM, ErrorKind.SERVER),
        (FaultKind.RESET_STREAM, ErrorKind.NETWORK),
        (FaultKind.STREAM_ERROR, ErrorKind.OVERLOADED),
    ],
)
async def test_a_broken_stream_is_charged_by_what_came(registry, target, sim: SimHandle, kind, means):  # noqa: F811
    sim.control.add_faults(Fault(kind, events=3))
    with pytest.raises(ProviderError) as raised:
        await registry.get("gemini").stream(target("gemini"), chat(), nowhere)
    (line,) = sim.control.bill()
    assert (raised.value.kind, raised.value.may_be_billed) == (means, True)
    assert raised.value.usage.estimated
    assert raised.value.usage.input_tokens == line.input_tokens
    assert raised.value.usage.output_tokens >= min(line.output_tokens, 3)


async def test_a_blocked_prompt_is_a_result(registry, target, sim: SimHandle):  # noqa: F811
    for ask in ("call", "stream"):
        sim.control.add_faults(Fault(FaultKind.CONTENT_FILTER))
        provider, more = registry.get("gemini"), (nowhere,) if ask == "stream" else ()
        outcome = await getattr(provider, ask)(target("gemini"), chat(), *more)
        assert outcome.finish_reason == "content_filter"


async def test_a_minutes_limit_says_when_to_come_back_and_counts_no_output(registry, target, sim: SimHandle):  # noqa: F811
    sim.control.configure(limits={"*": [LimitRule("tokens", 60, 60_000)]})
    provider = registry.get("gemini")
    charged = await provider.call(target("gemini"), chat(max_tokens=4_000))
    assert charged.usage.output_tokens + charged.usage.input_tokens > 60
    await provider.call(target("gemini"), chat())
    with pytest.raises(ProviderError) as raised:
        await provider.call(target("gemini"), chat())
    assert (raised.value.kind, raised.value.cools) == (ErrorKind.RATE_LIMITED, "deployment")
    assert 0 < raised.value.retry_after_ms <= 60_000
