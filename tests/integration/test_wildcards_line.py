"""A model that a wildcard makes is granted, called and paid for as any other; racing first uses make one."""

import concurrent.futures
import time

import pytest
from django.apps import apps
from django.db import connections, transaction

from rateguard import wiring
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.controls.pauses import pause, resume
from rateguard.jobs.controls.targets import find_target, jobs_of
from rateguard.jobs.intake.estimate import estimate_of
from rateguard.jobs.intake.submission import Submission
from rateguard.jobs.intake.submit import submit
from rateguard.jobs.models import Job
from tenants.changes import deployments, models
from tenants.changes.actor import Actor
from tenants.models import ConfigVersion, Deployment, ModelRoute, RouteTarget

pytestmark = pytest.mark.long

OPERATOR = Actor("shell ada")
NAME = "any/sim-1"


@pytest.fixture
def wildcard(line):
    there = deployments.create_deployment(OPERATOR, account=line.account, name="any", upstream_model="*")
    return models.create_model(OPERATOR, name="any/*", deployments=[there])


def submission(line, model=NAME):
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}
    return Submission(tenant=line.acme, endpoint=Endpoint.CHAT, body=body)


def granted(line):
    """The deployments to which the next message leads."""
    line.beat()
    return {entry[2] for entry in line.next_message()[0]}


def test_racing_first_uses_make_one_model_and_all_are_granted_at_its_deployment(line, wildcard):
    def ask(_):
        try:
            return submit(submission(line)).job
        finally:
            connections.close_all()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    made = ModelRoute.objects.get(name=NAME)
    own = made.targets.get().deployment
    assert own.wildcard.name == "any"
    assert granted(line) == {own.pk}


def test_a_transaction_that_commits_brings_model_and_job_together(line, wildcard):
    with transaction.atomic():
        submit(submission(line))
        assert NAME in wiring.directory().routes
    assert NAME in wiring.directory().routes
    assert granted(line) == {Deployment.objects.get(upstream_model="sim-1", wildcard__isnull=False).pk}


def test_a_transaction_that_rolls_back_leaves_nothing_to_the_next(line, wildcard):
    with transaction.atomic():
        submit(submission(line))
        transaction.set_rollback(True)
    assert NAME not in wiring.directory().routes
    submit(submission(line))
    assert granted(line) == {Deployment.objects.get(upstream_model="sim-1", wildcard__isnull=False).pk}


def test_an_estimate_of_a_model_that_nobody_used_writes_nothing(line, wildcard):
    def counts():
        return {model._meta.label: model.objects.count() for model in apps.get_models()}

    before = counts()
    found = estimate_of(submission(line))
    assert [place.target.upstream_model for place in found.places] == ["sim-1"]
    assert found.high_nano_usd > 0
    assert counts() == before
    assert NAME not in wiring.directory().routes


def test_a_pause_of_the_wildcard_holds_what_follows_it(line, wildcard):
    submit(submission(line))
    pause("model", "any/*")
    job = submit(submission(line)).job
    line.beat()
    line.settled()
    assert line.messages.empty()
    assert set(Job.objects.filter(jobs_of(find_target("model", "any/*")))) >= {job}
    assert resume("model", "any/*")
    assert granted(line) == {ModelRoute.objects.get(name=NAME).targets.get().deployment_id}


def test_a_change_of_a_wildcard_with_a_thousand_followers_is_one_change(line, wildcard):
    for number in range(3):
        submit(submission(line, f"any/sim-{number}"))
    origin = wildcard.targets.get().deployment
    rows = Deployment.objects.bulk_create(
        Deployment(account=line.account, name=f"d{n}", upstream_model=f"m{n}", wildcard=origin) for n in range(997)
    )
    made = ModelRoute.objects.bulk_create(ModelRoute(name=f"any/m{n}", wildcard=wildcard) for n in range(997))
    RouteTarget.objects.bulk_create(RouteTarget(route=one, deployment=row) for one, row in zip(made, rows, strict=True))
    version = ConfigVersion.current()
    other = deployments.create_deployment(OPERATOR, account=line.account, name="other", upstream_model="*")
    began_s = time.perf_counter()
    models.change_model(OPERATOR, wildcard, deployments=[other, origin], strategy="round_robin")
    assert time.perf_counter() - began_s < 20
    assert ConfigVersion.current() - version < 20
    assert RouteTarget.objects.filter(route__wildcard=wildcard).count() == 2_000
    assert ModelRoute.objects.filter(wildcard=wildcard, strategy="round_robin").count() == 1_000
    assert other.followers.count() == 1_000
