"""google-genai believes the simulated provider, at the Gemini API and on Vertex: against the real process, without a retry of its own."""

import base64
import json
import urllib.parse
import urllib.request

import anthropic
import google.auth.credentials
import pytest
from google import genai
from google.genai import errors, types

from rateguard.engine.providers.sim.config import LimitRule
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.process import SimHandle
from tests.simprovider import sim, sim_process  # noqa: F401 - fixtures

pytestmark = pytest.mark.long  # loading the client takes seconds

FLASH = "gemini-3.5-flash"
ASKED = "How many clips did Natalia sell?"
LONG = "The clips are counted every evening, and the count is written down. " * 120
WEATHER = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}, "days": {"type": "INTEGER", "minimum": 1}}, "required": ["city"]}
TOOLS = [types.Tool(function_declarations=[types.FunctionDeclaration(name="weather", parameters=types.Schema(**WEATHER))])]


class Token(google.auth.credentials.Credentials):
    """A token that is never renewed."""

    def __init__(self):
        super().__init__()
        self.token = "ya29.ann"

    def refresh(self, _):
        raise AssertionError("it is still good")


@pytest.fixture
def gemini(sim: SimHandle):  # noqa: F811
    return genai.Client(api_key="AIza-ann", http_options=types.HttpOptions(base_url=sim.url))


@pytest.fixture
def vertex(sim: SimHandle):  # noqa: F811
    options = types.HttpOptions(base_url=sim.url)
    return genai.Client(vertexai=True, project="p", location="europe-west4", credentials=Token(), http_options=options)


def config(**fields):
    return types.GenerateContentConfig(**{"max_output_tokens": 40, **fields})


def ask(client, **fields):
    return client.models.generate_content(model=FLASH, contents=ASKED, config=config(**fields))


def test_an_answer_is_billed_as_it_says(sim: SimHandle, gemini):  # noqa: F811
    reply = ask(gemini)

    (line,) = sim.control.bill()
    usage = reply.usage_metadata
    assert (line.key, line.model) == ("AIza-ann", FLASH)
    assert reply.text
    assert reply.response_id
    assert reply.candidates[0].finish_reason in {"STOP", "MAX_TOKENS"}
    assert (usage.prompt_token_count, usage.candidates_token_count) == (line.input_tokens, line.output_tokens)
    assert usage.total_token_count == line.input_tokens + line.output_tokens
    assert usage.thoughts_token_count is None
    assert gemini.models.count_tokens(model=FLASH, contents=ASKED).total_tokens == line.input_tokens


def test_a_streams_usage_grows_and_its_thoughts_are_apart(sim: SimHandle, gemini):  # noqa: F811
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=100)
    chunks = list(gemini.models.generate_content_stream(model=FLASH, contents=ASKED, config=config(thinking_config=thinking)))
    whole = ask(gemini, thinking_config=thinking)
    hidden = ask(gemini, thinking_config=types.ThinkingConfig(thinking_budget=100))

    first, second, _ = sim.control.bill()
    counts = [chunk.usage_metadata.total_token_count for chunk in chunks]
    parts = [chunk.candidates[0].content.parts[0] for chunk in chunks]
    assert counts == sorted(set(counts))
    assert [bool(chunk.candidates[0].finish_reason) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert sum(part.thought is True for part in parts) == first.reasoning_tokens > 0
    assert sum(part.thought_signature is not None for part in parts) == 1
    assert chunks[-1].usage_metadata.thoughts_token_count == first.reasoning_tokens
    assert chunks[-1].usage_metadata.candidates_token_count == first.output_tokens - first.reasoning_tokens
    assert [part.thought for part in whole.candidates[0].content.parts] == [True, None]
    assert whole.usage_metadata.thoughts_token_count == second.reasoning_tokens
    assert len(hidden.candidates[0].content.parts) == 1
    assert hidden.usage_metadata.thoughts_token_count > 0


def test_a_function_is_called_whole_and_json_fits(gemini):
    must = types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY", allowed_function_names=["weather"]))
    off = types.AutomaticFunctionCallingConfig(disable=True)
    tools = {"tools": TOOLS, "tool_config": must, "automatic_function_calling": off}
    whole = ask(gemini, **tools)
    (chunk,) = gemini.models.generate_content_stream(model=FLASH, contents=ASKED, config=config(**tools))
    shaped = ask(gemini, response_mime_type="application/json", response_schema=types.Schema(**WEATHER))

    for reply in (whole, chunk):
        (call,) = reply.function_calls
        assert (call.name, set(call.args)) == ("weather", {"city", "days"})
        assert reply.candidates[0].finish_reason == "STOP"
    assert set(json.loads(shaped.text)) == {"city", "days"}


def test_embeddings_are_made_at_both_addresses(sim: SimHandle, gemini, vertex):  # noqa: F811
    wanted = types.EmbedContentConfig(output_dimensionality=64)
    batch = gemini.models.embed_content(model="gemini-embedding-001", contents=["one", "two"], config=wanted)
    predicted = vertex.models.embed_content(model="gemini-embedding-001", contents=["one"], config=wanted)

    assert [len(one.values) for one in batch.embeddings] == [64, 64]
    assert [len(one.values) for one in predicted.embeddings] == [64]
    assert predicted.embeddings[0].statistics.token_count == 1
    assert [line.input_tokens for line in sim.control.bill()] == [2, 1]


def test_vertex_says_which_traffic_it_was(sim: SimHandle, vertex):  # noqa: F811
    reply = ask(vertex, service_tier="flex")
    chunks = list(vertex.models.generate_content_stream(model=FLASH, contents=ASKED, config=config()))

    first, second = sim.control.bill()
    assert (reply.usage_metadata.traffic_type, first.tier, first.key) == ("ON_DEMAND_FLEX", "flex", "ya29.ann")
    assert chunks[-1].usage_metadata.candidates_token_count == second.output_tokens


def test_a_prompt_that_was_there_before_is_cached(sim: SimHandle, gemini):  # noqa: F811
    replies = [gemini.models.generate_content(model=FLASH, contents=LONG + end, config=config()) for end in ("One?", "Two, then?")]
    first, second = (reply.usage_metadata for reply in replies)

    assert first.cached_content_token_count is None
    assert second.cached_content_token_count >= 1_024
    assert second.prompt_token_count > second.cached_content_token_count
    assert [line.cached_tokens for line in sim.control.bill()] == [0, second.cached_content_token_count]


@pytest.mark.parametrize(("window_ms", "span"), [(60_000, "PerMinute"), (86_400_000, "PerDay")])
def test_a_limit_counts_the_input_alone_and_names_its_quota(sim: SimHandle, gemini, window_ms, span):  # noqa: F811
    sim.control.configure(limits={"*": [LimitRule("tokens", 30, window_ms)]})
    ask(gemini, max_output_tokens=5_000)
    ask(gemini, max_output_tokens=5_000)
    with pytest.raises(errors.ClientError) as caught:
        ask(gemini)

    failure, info = caught.value.details["error"]["details"]
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert span in failure["violations"][0]["quotaId"]
    assert failure["violations"][0]["quotaValue"] == "30"
    assert window_ms / 1_000 - 5 < float(info["retryDelay"].removesuffix("s")) <= window_ms / 1_000


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        (FaultKind.RATE_LIMITED, 429, "RESOURCE_EXHAUSTED"),
        (FaultKind.DAILY_QUOTA, 429, "RESOURCE_EXHAUSTED"),
        (FaultKind.SPEND_CAP, 429, "RESOURCE_EXHAUSTED"),
        (FaultKind.SHARED_CAPACITY, 429, "RESOURCE_EXHAUSTED"),
        (FaultKind.CONTEXT_LENGTH, 400, "INVALID_ARGUMENT"),
        (FaultKind.UNAUTHORIZED, 400, "INVALID_ARGUMENT"),
        (FaultKind.SERVER_ERROR, 500, "INTERNAL"),
        (FaultKind.OVERLOADED, 503, "UNAVAILABLE"),
        (FaultKind.TIMEOUT, 504, "DEADLINE_EXCEEDED"),
    ],
)
def test_googles_client_reads_each_fault(sim: SimHandle, gemini, kind, code, status):  # noqa: F811
    sim.control.add_faults(Fault(kind))
    with pytest.raises(errors.APIError) as caught:
        ask(gemini)
    assert (caught.value.code, caught.value.status) == (code, status)
    kinds = [detail["@type"].rpartition(".")[2] for detail in caught.value.details["error"].get("details", [])]
    assert ("RetryInfo" in kinds) == (kind in {FaultKind.RATE_LIMITED, FaultKind.DAILY_QUOTA})


def test_a_blocked_prompt_has_no_candidates_and_an_error_may_come_in_the_middle(sim: SimHandle, gemini):  # noqa: F811
    sim.control.add_faults(Fault(FaultKind.CONTENT_FILTER), Fault(FaultKind.STREAM_ERROR, events=3))
    blocked = ask(gemini)
    with pytest.raises(errors.ServerError) as caught:
        list(gemini.models.generate_content_stream(model=FLASH, contents=ASKED, config=config()))

    assert blocked.candidates is None
    assert blocked.prompt_feedback.block_reason == "PROHIBITED_CONTENT"
    assert caught.value.code == 503
    assert [line.output_tokens for line in sim.control.bill()] == [3]


def test_without_sse_a_stream_is_one_array(sim: SimHandle, gemini):  # noqa: F811
    body = json.dumps({"contents": [{"parts": [{"text": ASKED}]}], "generationConfig": {"maxOutputTokens": 20}}).encode()
    url = f"{sim.url}/v1beta/models/{FLASH}:streamGenerateContent?key=AIza-bob"
    with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})) as reply:
        chunks = json.load(reply)

    (line,) = sim.control.bill()
    assert line.key == "AIza-bob"
    assert len(chunks) == line.output_tokens
    assert chunks[-1]["candidates"][0]["finishReason"]


def test_googles_client_lists_the_models_and_is_told_what_there_is_not(sim: SimHandle, gemini):  # noqa: F811
    sim.control.configure(models=[FLASH], keys=["AIza-ann"])
    assert [model.name for model in gemini.models.list()] == [f"models/{FLASH}"]
    with pytest.raises(errors.ClientError) as caught:
        gemini.models.generate_content(model="gemini-1", contents="Hi")
    assert caught.value.status == "NOT_FOUND"


def test_claude_speaks_on_vertex_too(sim: SimHandle):  # noqa: F811
    with anthropic.AnthropicVertex(
        base_url=f"{sim.url}/v1", project_id="p", region="europe-west1", access_token="ya29.ann", max_retries=0
    ) as client:
        message = client.messages.create(model="claude-sonnet-5", max_tokens=40, messages=[{"role": "user", "content": "Hi"}])
        with client.messages.stream(model="claude-sonnet-5", max_tokens=40, messages=[{"role": "user", "content": "Hi"}]) as stream:
            streamed = stream.get_final_message()

    assert message.content[0].text
    assert {(line.key, line.model) for line in sim.control.bill()} == {("ya29.ann", "claude-sonnet-5")}
    assert streamed.usage.output_tokens == sim.control.bill()[1].output_tokens


def test_a_service_account_gets_its_token(sim: SimHandle):  # noqa: F811
    claims = base64.urlsafe_b64encode(json.dumps({"iss": "ann@p.iam"}).encode()).decode().rstrip("=")
    form = urllib.parse.urlencode({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": f"e30.{claims}.x"})
    with urllib.request.urlopen(f"{sim.url}/token", form.encode()) as reply:
        assert json.load(reply) == {"access_token": "ya29.ann@p.iam", "expires_in": 3_599, "token_type": "Bearer"}
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{sim.url}/token", b"assertion=nothing")
    caught.value.close()
    assert caught.value.code == 400
