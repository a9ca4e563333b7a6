"""boto3 believes the simulated provider: against the real process, without a retry of its own."""

import json

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError, EventStreamError

from rateguard.engine.providers.sim.config import LimitRule
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.process import SimHandle
from tests.simprovider import sim, sim_process  # noqa: F401 - fixtures

pytestmark = pytest.mark.long  # loading boto3's models takes seconds

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ASKED = [{"role": "user", "content": [{"text": "How many clips did Natalia sell?"}]}]
LONG = "The clips are counted every evening, and the count is written down. " * 120
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}}, "required": ["city"]}
TOOLS = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": WEATHER}}}], "toolChoice": {"any": {}}}


@pytest.fixture(scope="module")
def session():
    return boto3.Session(aws_access_key_id="AKIAANN", aws_secret_access_key="secret", region_name="us-east-1")


@pytest.fixture
def bedrock(sim: SimHandle, session):  # noqa: F811
    config = botocore.config.Config(retries={"max_attempts": 0, "mode": "standard"})
    client = session.client("bedrock-runtime", endpoint_url=sim.url, config=config)
    yield client
    client.close()


def converse(client, **fields):
    return client.converse(**{"modelId": CLAUDE, "messages": ASKED, "inferenceConfig": {"maxTokens": 40}, **fields})


def streamed(client, **fields):
    asked = {"modelId": CLAUDE, "messages": ASKED, "inferenceConfig": {"maxTokens": 40}, **fields}
    return list(client.converse_stream(**asked)["stream"])


def test_converse_answers_and_is_billed_as_it_says(sim: SimHandle, bedrock):  # noqa: F811
    reply = converse(bedrock)

    (line,) = sim.control.bill()
    usage = reply["usage"]
    assert (line.key, line.model) == ("AKIAANN", CLAUDE)
    assert reply["output"]["message"]["content"][0]["text"]
    assert reply["stopReason"] in {"end_turn", "max_tokens"}
    assert (usage["inputTokens"], usage["outputTokens"]) == (line.input_tokens, line.output_tokens)
    assert reply["ResponseMetadata"]["RequestId"] == line.request_id
    counted = bedrock.count_tokens(modelId=CLAUDE, input={"converse": {"messages": ASKED}})
    assert counted["inputTokens"] == line.input_tokens


def test_a_stream_tells_its_usage_behind_its_stop(sim: SimHandle, bedrock):  # noqa: F811
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1_024}}
    events = streamed(bedrock, additionalModelRequestFields=thinking, serviceTier={"type": "flex"})

    names = [next(iter(event)) for event in events]
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    (line,) = sim.control.bill()
    assert names[0] == "messageStart"
    assert names[-2:] == ["messageStop", "metadata"]
    assert "contentBlockStart" not in names
    assert any("signature" in delta.get("reasoningContent", {}) for delta in deltas)
    assert "".join(delta.get("text", "") for delta in deltas)
    assert events[-1]["metadata"]["usage"]["outputTokens"] == line.output_tokens > line.reasoning_tokens > 0
    assert (events[-1]["metadata"]["serviceTier"]["type"], line.tier) == ("flex", "flex")


def test_a_tool_is_called_and_json_fits(bedrock):
    whole = converse(bedrock, toolConfig=TOOLS)
    events = streamed(bedrock, toolConfig=TOOLS)
    form = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "answer", "schema": json.dumps(WEATHER)}}}}
    shaped = converse(bedrock, outputConfig=form)

    (block,) = whole["output"]["message"]["content"]
    start = next(event["contentBlockStart"]["start"]["toolUse"] for event in events if "contentBlockStart" in event)
    arguments = "".join(event["contentBlockDelta"]["delta"]["toolUse"]["input"] for event in events if "contentBlockDelta" in event)
    assert (whole["stopReason"], block["toolUse"]["name"], start["name"]) == ("tool_use", "weather", "weather")
    assert set(block["toolUse"]["input"]) == set(json.loads(arguments)) == {"city", "days"}
    assert set(json.loads(shaped["output"]["message"]["content"][0]["text"])) == {"city", "days"}


def test_a_cache_point_is_written_and_then_read(sim: SimHandle, bedrock):  # noqa: F811
    system = [{"text": LONG}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    first, second = (converse(bedrock, system=system)["usage"] for _ in range(2))

    assert first["cacheDetails"] == [{"ttl": "1h", "inputTokens": second["cacheReadInputTokens"]}]
    assert first["inputTokens"] == second["inputTokens"] < 100
    assert second["cacheReadInputTokens"] > 1_024
    assert [line.cache_write_long_tokens for line in sim.control.bill()] == [second["cacheReadInputTokens"], 0]


def test_what_is_reserved_is_given_back_and_output_burns_down(sim: SimHandle, bedrock):  # noqa: F811
    sim.control.configure(limits={"*": [LimitRule("tokens", 10_000, 60_000)]}, output={"least": 0.01, "most": 0.01})
    converse(bedrock, inferenceConfig={"maxTokens": 9_000})
    converse(bedrock, inferenceConfig={"maxTokens": 9_000})
    with pytest.raises(ClientError, match="Too many tokens, please wait"):
        converse(bedrock, inferenceConfig={})

    first, _, refused = sim.control.log()
    assert first.counted_tokens == first.input_tokens + 9_000
    assert first.settled_tokens == first.input_tokens + 5 * 90
    assert refused.counted_tokens == refused.input_tokens + 64_000


def test_embeddings_are_invoked(sim: SimHandle, bedrock):  # noqa: F811
    titan = bedrock.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=json.dumps({"inputText": "one", "dimensions": 256}))
    cohere = bedrock.invoke_model(
        modelId="cohere.embed-multilingual-v3", body=json.dumps({"texts": ["one", "two"], "input_type": "search_document"})
    )

    told = json.load(titan["body"])
    assert (len(told["embedding"]), told["inputTextTokenCount"]) == (256, 1)
    assert [len(vector) for vector in json.load(cohere["body"])["embeddings"]] == [1_024, 1_024]
    assert cohere["ResponseMetadata"]["HTTPHeaders"]["x-amzn-bedrock-input-token-count"] == "2"
    assert [line.input_tokens for line in sim.control.bill()] == [1, 2]


def test_claude_is_invoked_in_its_own_words(sim: SimHandle, bedrock):  # noqa: F811
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 40, "messages": [{"role": "user", "content": "Hi"}]})
    whole = json.load(bedrock.invoke_model(modelId=CLAUDE, body=body)["body"])
    stream = bedrock.invoke_model_with_response_stream(modelId=CLAUDE, body=body)["body"]
    events = [json.loads(event["chunk"]["bytes"]) for event in stream]

    assert whole["content"][0]["text"] == "".join(event["delta"].get("text", "") for event in events if "delta" in event)
    assert events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == sim.control.bill()[1].output_tokens


@pytest.mark.parametrize(
    ("kind", "code", "status", "text"),
    [
        (FaultKind.RATE_LIMITED, "ThrottlingException", 429, "Too many requests"),
        (FaultKind.DAILY_QUOTA, "ThrottlingException", 429, "per day"),
        (FaultKind.INSUFFICIENT_QUOTA, "ServiceQuotaExceededException", 400, ""),
        (FaultKind.CONTEXT_LENGTH, "ValidationException", 400, "too long"),
        (FaultKind.SERVER_ERROR, "InternalServerException", 500, ""),
        (FaultKind.OVERLOADED, "ServiceUnavailableException", 503, ""),
        (FaultKind.UNAUTHORIZED, "ExpiredTokenException", 403, ""),
        (FaultKind.TIMEOUT, "ModelTimeoutException", 408, ""),
    ],
)
def test_boto3_reads_each_fault(sim: SimHandle, bedrock, kind, code, status, text):  # noqa: F811
    sim.control.add_faults(Fault(kind))
    with pytest.raises(ClientError) as caught:
        converse(bedrock)
    assert text in str(caught.value)
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_a_cold_model_is_not_ready_twice_and_then_answers(sim: SimHandle, bedrock):  # noqa: F811
    sim.control.add_faults(Fault(FaultKind.MODEL_NOT_READY, count=2))
    for _ in range(2):
        with pytest.raises(bedrock.exceptions.ModelNotReadyException):
            converse(bedrock)
    assert converse(bedrock)["usage"]


def test_an_exception_ends_a_stream_and_a_wrong_sum_is_seen(sim: SimHandle, bedrock):  # noqa: F811
    sim.control.add_faults(Fault(FaultKind.STREAM_ERROR, events=3), Fault(FaultKind.MALFORMED, events=3))
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        streamed(bedrock)
    with pytest.raises(Exception, match=r"[Cc]hecksum"):
        streamed(bedrock)
    assert [line.output_tokens for line in sim.control.bill()] == [3, 3]


def test_what_is_wrong_is_said_as_aws_says_it(sim: SimHandle, bedrock):  # noqa: F811
    sim.control.configure(models=["amazon.nova-pro-v1:0"])
    with pytest.raises(bedrock.exceptions.ResourceNotFoundException):
        converse(bedrock)
    sim.control.configure(models=[], keys=["AKIABOB"])
    with pytest.raises(ClientError, match="security token") as caught:
        converse(bedrock)
    sim.control.configure(keys=[])
    with pytest.raises(bedrock.exceptions.ValidationException, match="empty"):
        converse(bedrock, messages=[])
    assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"
