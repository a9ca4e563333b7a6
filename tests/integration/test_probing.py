"""Whether a deployment is well is asked for nothing where that can be; else it is told what a call costs, which somebody may pay."""

import io

import pytest
from django.core.management import call_command

from rateguard import wiring
from rateguard.engine.money import most_nano_usd
from rateguard.jobs.models import Job
from tenants.keys import issue_key
from tenants.models import Deployment, ModelRoute, ProviderAccount, RouteTarget
from tests.api import Api, problem_of

pytestmark = pytest.mark.long

PLACE = "/api/v1/deployments/{}/probe"


@pytest.fixture
def operator(line):
    return Api(issue_key(line.tenant("house"), "ops", is_operator=True)[1])


def ask(api, name, **body):
    response = api.post(PLACE.format(name), body)
    assert response.status_code == 200, response.json()
    return response.json()


def unlisted(line, name="silent"):
    """A deployment whose provider cannot be asked for nothing; the sim's model leads to it, too."""
    account = ProviderAccount.objects.create(
        name=name, provider="azure", base_url=line.provider.base_url, credentials="{}", options={"auth": "entra"}
    )
    made = Deployment.objects.create(account=account, name=name, upstream_model=name, options={"base_model": "gpt-5.4-mini"})
    RouteTarget.objects.create(route=ModelRoute.objects.get(name="sim-1"), deployment=made, position=1)
    wiring.forget_directory()
    return made


def test_where_the_provider_has_a_page_the_look_costs_nothing(line, operator):
    told = ask(operator, "sim-1")
    assert (told["status"], told["cost_nano_usd"], told["job"]) == (200, 0, None)
    assert operator.send("post", PLACE.format("sim-1"), b"").status_code == 200
    assert not Job.objects.exists()


def test_where_there_is_none_it_says_what_a_call_costs_and_makes_none(line, operator):
    unlisted(line)
    told = ask(operator, "silent")
    assert (told["status"], told["cost_nano_usd"], told["cost_usd"]) == (0, None, None)
    assert "no cost" in told["reason"]
    line.price.pk, line.price.provider, line.price.model = None, "azure", "gpt-5.4-mini"
    line.price.save()
    wiring.forget_directory()
    assert ask(operator, "silent")["cost_nano_usd"] > 0
    assert not Job.objects.exists()


def test_who_pays_gets_one_call_at_that_deployment_alone_which_is_a_job(line, operator):
    unlisted(line)
    told = ask(operator, "sim-1", spend=True)
    job = Job.objects.get(pk=told["job"])
    place = wiring.directory().places[line.deployment.pk]
    assert (job.tenant.name, job.max_output_tokens, job.max_tries, job.labels) == ("house", 1, 1, {"probe": "sim-1"})
    assert told["cost_nano_usd"] == most_nano_usd(place.price, job.counted_tokens, 1)
    line.beat()
    assert {entry[2] for entry in line.next_message()[0]} == {line.deployment.pk}
    assert job.route_marks == f"-{Deployment.objects.get(name='silent').pk}"


def test_a_call_is_not_paid_where_it_cannot_be_made(line, operator):
    alone = Deployment.objects.create(account=line.account, name="alone", upstream_model="alone")
    out = Deployment.objects.create(account=line.account, name="out", upstream_model="out", is_enabled=False)
    theirs = ProviderAccount.objects.create(name="acmes", provider="sim", base_url=line.provider.base_url, tenant=line.acme)
    foreign = Deployment.objects.create(account=theirs, name="foreign", upstream_model="sim-1")
    wiring.forget_directory()
    for row in (alone, out, foreign):
        problem_of(operator.post(PLACE.format(row.name), {"spend": True}), 400, "no_deployment")
    problem_of(operator.post(PLACE.format("sim-1"), {"spend": "yes"}), 400, "invalid_field")
    assert operator.post(PLACE.format("nothing"), {}).status_code == 404
    assert Api(issue_key(line.acme, "own")[1]).post(PLACE.format("sim-1"), {}).status_code == 403
    assert not Job.objects.exists()


def test_the_shell_says_it_in_words(line):
    def said(*words):
        out = io.StringIO()
        call_command("deployment", "probe", *words, stdout=out)
        return out.getvalue()

    unlisted(line)
    assert "takes the key; that cost nothing" in said("sim-1")
    assert "--spend TENANT makes it" in said("silent")
    told = said("sim-1", "--spend", "acme")
    assert f"job {Job.objects.get(tenant=line.acme).pk} calls sim-1, for at most $" in told
