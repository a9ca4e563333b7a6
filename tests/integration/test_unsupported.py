"""What a model's providers cannot do is refused when it is submitted; where one of its deployments can, it is taken."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import pytest

from rateguard import wiring
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.intake.submission import Submission
from rateguard.jobs.intake.submit import submit, submit_many
from rateguard.jobs.models import Job
from tenants.models import Deployment, ModelRoute, ProviderAccount, RouteTarget
from tests.api import Api
from tests.tenancy import CHAT_MODEL, acme  # noqa: F401

pytestmark = pytest.mark.django_db

BIASED = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20, "logit_bias": {"50256": -100}}


def asking(customer, **fields) -> Submission:
    return Submission(tenant=customer.tenant, endpoint=Endpoint.CHAT, body={**BIASED, **fields})


@pytest.fixture
def claude(acme):
    """The chat model leads to Anthropic alone."""
    ProviderAccount.objects.update(provider="anthropic", base_url="https://api.anthropic.com")
    Deployment.objects.filter(targets__route__name=CHAT_MODEL).update(upstream_model="claude-haiku-4-5")
    wiring.forget_directory()
    return acme


def test_what_no_deployment_can_do_is_refused_and_nothing_is_written(claude):
    with pytest.raises(InvalidRequest) as raised:
        submit(asking(claude))
    assert (raised.value.code, raised.value.pointer) == ("unsupported_by_provider", "/logit_bias")
    with pytest.raises(InvalidRequest):
        submit_many([asking(claude, logit_bias=None), asking(claude)])
    assert not Job.objects.exists()


def test_over_rest_it_is_a_400_that_names_the_field(claude):
    response = Api(claude.secret).post("/api/v1/jobs", BIASED)
    assert response.status_code == 400
    assert response.json()["errors"][0]["pointer"] == "/logit_bias"
    assert response.json()["type"].endswith("unsupported_by_provider")


def test_what_has_no_words_in_the_dialect_is_refused_too(claude):
    with pytest.raises(InvalidRequest) as raised:
        submit(asking(claude, logit_bias=None, temperature=1.5))
    assert raised.value.pointer == "/temperature"


def test_where_one_deployment_can_it_is_taken(claude):
    account = ProviderAccount.objects.create(name="other", provider="openai", base_url="https://api.example.com/v1", credentials="sk-test")
    able = Deployment.objects.create(account=account, name="able", upstream_model="gpt-4o-mini")
    RouteTarget.objects.create(route=ModelRoute.objects.get(name=CHAT_MODEL), deployment=able, position=1)
    wiring.forget_directory()
    assert submit(asking(claude)).is_new


def test_an_account_that_is_not_set_up_keeps_nobody_out(acme):
    ProviderAccount.objects.update(provider="nobody")
    wiring.forget_directory()
    assert submit(asking(acme)).is_new
