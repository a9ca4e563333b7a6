"""What a key allows, and what it adds to a request."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rateguard.engine.errors import NotAllowed
from rateguard.engine.lanes import Lane
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.intake.submission import Submission
from rateguard.jobs.intake.submit import submit
from rateguard.jobs.models import Job
from tenants.keys import issue_key
from tenants.models import ApiKey
from tests.api import Api, problem_of
from tests.tenancy import CHAT_MODEL, EMBEDDING_MODEL, acme  # noqa: F401

pytestmark = pytest.mark.django_db

HELLO = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}


@pytest.fixture
def with_key(acme):
    """A caller whose key has these rules."""
    return lambda **rules: Api(issue_key(acme.tenant, "ruled", **rules)[1])


def refusal(api, job, code, body=HELLO):
    problem = problem_of(api.submit({**body, "job": job}), 403, code)
    assert not Job.objects.exists()
    return problem["errors"][0]["pointer"]


def test_a_key_may_use_its_models_alone_and_hears_of_no_others(with_key):
    api = with_key(allowed_models=[EMBEDDING_MODEL])
    assert refusal(api, {}, "model_not_allowed") == "/model"
    assert refusal(api, {}, "model_not_allowed", {**HELLO, "model": "nobody-knows"}) == "/model"
    assert api.submit({"model": EMBEDDING_MODEL, "input": "a"}).status_code == 202


def test_a_key_may_use_lanes_up_to_its_highest(with_key):
    api = with_key(highest_lane=Lane.LOW)
    assert refusal(api, {"lane": "normal"}, "lane_not_allowed") == "/job/lane"
    assert api.submit({**HELLO, "job": {"lane": "background"}}).json()["lane"] == "background"


@pytest.mark.parametrize(
    ("rules", "lane"),
    [
        ({}, "normal"),
        ({"default_lane": Lane.HIGH}, "high"),
        ({"highest_lane": Lane.LOW}, "low"),
        ({"default_lane": Lane.HIGH, "highest_lane": Lane.BACKGROUND}, "background"),
    ],
)
def test_a_request_that_names_no_lane_goes_on_the_keys_default_as_far_as_it_may(with_key, rules, lane):
    assert with_key(**rules).submit(HELLO).json()["lane"] == lane


def test_what_is_bound_to_a_key_is_filled_in_and_another_name_is_refused(with_key, acme):
    api = with_key(bound={"team": "ml", "cost_center": "7"})
    job = api.submit({**HELLO, "job": {"user": "ada", "cost_center": "7"}}).json()
    assert (job["team"], job["cost_center"], job["user"]) == ("ml", "7", "ada")
    assert "team:ml" in job["path"]
    Job.objects.all().delete()
    assert refusal(api, {"team": "red"}, "bound_to_key") == "/job/team"


def test_a_repeated_request_is_answered_though_its_keys_rules_changed(with_key):
    api = with_key()
    first = api.submit(HELLO, Idempotency_Key="k").json()
    for row in ApiKey.objects.filter(name="ruled"):
        row.allowed_models = [EMBEDDING_MODEL]
        row.save()
    assert api.submit(HELLO, Idempotency_Key="k").json()["id"] == first["id"]


def test_who_names_a_key_without_its_row_is_under_its_rules_which_are_read_once(acme):
    key = issue_key(acme.tenant, "ruled", allowed_models=[EMBEDDING_MODEL])[0]
    submission = Submission(tenant=acme.tenant, endpoint=Endpoint.CHAT, body=HELLO, api_key_id=key.pk)
    with CaptureQueriesContext(connection) as queries:
        for _ in range(2):
            with pytest.raises(NotAllowed, match="may not use the model"):
                submit(submission)
    assert sum("apikey" in query["sql"].lower() for query in queries) <= 1


def test_every_bad_field_of_a_job_is_named_at_once(acme):
    job = {"lane": "fast", "user": 5, "max_tries": 0, "run_at": "x", "zz": 1, "labels": {"a": 1}}
    problem = problem_of(Api(acme.secret).submit({**HELLO, "n": 0, "messages": [1, {}], "job": job}), 400, "invalid_field")
    assert {one["pointer"] for one in problem["errors"]} == {
        "/job/lane",
        "/job/user",
        "/job/max_tries",
        "/job/run_at",
        "/job/zz",
        "/job/labels/a",
        "/n",
        "/messages/0",
        "/messages/1/role",
    }
