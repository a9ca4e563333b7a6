"""boto3's client of Bedrock's runtime under the gate, against the simulated provider."""

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError, EventStreamError

from rateguard import transport
from rateguard.engine.errors import ConfigurationError
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.jobs.states import AttemptState
from rateguard.screening.contract import Refused
from tenants.models import Deployment, ModelRoute, ProviderAccount, RouteTarget
from tests.gated import ON_BEDROCK, charged, gated  # noqa: F401 - a fixture

pytestmark = pytest.mark.long  # loading boto3's models takes seconds

ASKED = [{"role": "user", "content": [{"text": "How many clips did Natalia sell?"}]}]


@pytest.fixture(scope="module")
def session():
    return boto3.Session(aws_access_key_id="AKIACLIENT", aws_secret_access_key="client", region_name="eu-west-1")


@pytest.fixture
def bedrock(gated, session):  # noqa: F811
    client = session.client("bedrock-runtime")
    transport.attach(client, tenant="acme", team="search")
    yield client
    client.close()


def converse(client, **fields):
    return client.converse(**{"modelId": "bedrock", "messages": ASKED, "inferenceConfig": {"maxTokens": 40}, **fields})


def test_converse_is_let_in_signed_by_the_deployments_keys_and_charged(gated, bedrock):  # noqa: F811
    reply = converse(bedrock)

    (line,) = gated.provider.control.bill()
    ((attempt, entry),) = charged()
    told = reply["ResponseMetadata"]
    assert (line.key, line.model) == ("AKIARATEGUARD", ON_BEDROCK)
    assert (reply["usage"]["inputTokens"], reply["usage"]["outputTokens"]) == (entry.input_tokens, entry.output_tokens)
    assert (attempt.state, attempt.provider_request_id, entry.team) == (AttemptState.SUCCEEDED, told["RequestId"], "search")
    assert told["HTTPHeaders"]["x-rateguard-cost-nano-usd"] == str(entry.nano_usd)


def test_a_stream_is_passed_on_and_charged_by_its_metadata(gated, bedrock):  # noqa: F811
    events = list(bedrock.converse_stream(modelId="bedrock", messages=ASKED)["stream"])

    ((_, entry),) = charged()
    assert next(iter(events[-1])) == "metadata"
    assert events[-1]["metadata"]["usage"]["outputTokens"] == entry.output_tokens == gated.provider.control.bill()[0].output_tokens


def test_who_closes_a_stream_early_is_charged_by_what_came(gated, bedrock):  # noqa: F811
    gated.provider.control.configure(output={"least": 1.0}, latency={"per_token_ms": 20})
    stream = bedrock.converse_stream(modelId="bedrock", messages=ASKED, inferenceConfig={"maxTokens": 200})["stream"]
    for _ in zip(range(5), stream, strict=False):
        pass
    stream.close()

    ((attempt, entry),) = charged()
    assert (attempt.state, entry.is_estimated) == (AttemptState.CANCELLED, True)
    assert 0 < entry.output_tokens < 200


def test_refusals_and_failures_are_boto3s_own_errors_and_nothing_is_sent_twice(gated, bedrock):  # noqa: F811
    with pytest.raises(ClientError, match="there is no model 'nobody'") as unknown:
        converse(bedrock, modelId="nobody")
    with pytest.raises(ClientError, match="no deployment of model 'gpt' speaks Bedrock's Converse"):
        converse(bedrock, modelId="gpt")
    with pytest.raises(ClientError, match="does not go through rateguard"):
        bedrock.invoke_model(modelId="bedrock", body="{}")
    assert gated.provider.control.log() == []
    gated.provider.control.add_faults(Fault(FaultKind.OVERLOADED))
    with pytest.raises(ClientError) as overloaded:
        converse(bedrock)
    gated.provider.control.add_faults(Fault(FaultKind.STREAM_ERROR, events=3))
    stream = bedrock.converse_stream(modelId="bedrock", messages=ASKED)["stream"]
    with pytest.raises(EventStreamError):
        list(stream)

    assert unknown.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert overloaded.value.response["ResponseMetadata"]["RetryAttempts"] == 0
    assert len(gated.provider.control.log()) == 2
    assert [attempt.state for attempt, _ in charged(2)] == [AttemptState.FAILED] * 2
    stream.close()  # which nobody needs to do before it is charged


def test_a_deployment_that_cannot_be_reached_is_passed_over_once(gated, bedrock):  # noqa: F811
    nowhere = ProviderAccount.objects.create(
        name="nowhere", provider="bedrock", base_url="http://127.0.0.1:1", credentials="AKIANOWHEREATALL:none"
    )
    deployment = Deployment.objects.create(account=nowhere, name="nowhere", upstream_model=ON_BEDROCK, region="us-east-1")
    route = ModelRoute.objects.create(name="two")
    RouteTarget.objects.create(route=route, deployment=deployment, position=0)
    RouteTarget.objects.create(route=route, deployment=Deployment.objects.get(name="bedrock"), position=1)

    assert converse(bedrock, modelId="two")["output"]
    assert [(attempt.deployment, attempt.error_code) for attempt, _ in charged(2)] == [("nowhere", "connect"), ("bedrock", "")]
    RouteTarget.objects.filter(route=route, position=1).delete()
    with pytest.raises(EndpointConnectionError):
        converse(bedrock, modelId="two")


def test_a_client_that_is_attached_again_has_the_new_words_alone(gated, bedrock):  # noqa: F811
    transport.attach(bedrock, tenant="acme", team="sales")
    converse(bedrock)
    ((_, entry),) = charged()
    assert entry.team == "sales"


def test_only_a_client_of_the_runtime_that_waits_for_nothing_itself_is_attached(gated, session):  # noqa: F811
    with pytest.raises(ConfigurationError, match="bedrock-runtime"):
        transport.attach(session.client("sts"), tenant="acme")
    with pytest.raises(ConfigurationError, match="adaptive"):
        transport.attach(session.client("bedrock-runtime", config=Config(retries={"mode": "adaptive"})), tenant="acme")


class Looks:
    """A middleware that looks at answers, and lets none through that follows a question for secrets."""

    def after(self, answer, request, context):
        assert answer["choices"][0]["message"]["content"]
        if "secret" in str(request["messages"]):
            raise Refused("nothing of this is told")


def test_a_middleware_sees_an_answer_whole_before_the_caller_does(gated, bedrock, settings):  # noqa: F811
    settings.RATEGUARD = {**settings.RATEGUARD, "MIDDLEWARE": [f"{__name__}.Looks"]}
    secret = [{"role": "user", "content": [{"text": "Tell the secret"}]}]

    assert converse(bedrock)["output"]
    assert len(list(bedrock.converse_stream(modelId="bedrock", messages=ASKED)["stream"])) > 3
    with pytest.raises(ClientError, match="nothing of this is told"):
        converse(bedrock, messages=secret)
    with pytest.raises(ClientError, match="nothing of this is told"):
        bedrock.converse_stream(modelId="bedrock", messages=secret)

    assert all(attempt.state == AttemptState.SUCCEEDED and entry.nano_usd for attempt, entry in charged(4))
