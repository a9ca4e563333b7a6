"""Webhooks sent by real workers: whoever dies, each end is told at least once, under one id, and rightly signed."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import datetime as dt

import pytest
from django.utils import timezone

from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.models import Job, MessageState, WebhookMessage
from rateguard.jobs.states import State
from tenants.changes.actor import Actor
from tenants.changes.webhooks import create_webhook
from tests.line import states, wait_for
from tests.receiver import receiver  # noqa: F401

HERE = {"RATEGUARD_WEBHOOK_NETWORKS": "127.0.0.0/8", "RATEGUARD_WEBHOOK_TIMEOUT_S": "1"}


@pytest.fixture
def secret(live, receiver, settings):
    settings.RATEGUARD = {**settings.RATEGUARD, "WEBHOOK_NETWORKS": ["127.0.0.0/8"]}
    return create_webhook(Actor(by="tests"), live.line.acme, name="hook", url=receiver.url + "/hook")[1]


def told(receiver, secret):
    """Which ends came, by the messages' ids; each is checked."""
    return {got.headers["webhook-id"]: (got.verified(secret)["data"]["id"], got.verified(secret)["type"]) for got in receiver.received}


@pytest.mark.long
def test_a_sender_that_dies_between_delivery_and_its_commit_sends_under_the_same_id_again(live, receiver, secret):
    live.mortal("delivered_message", 1, **HERE)
    job = live.line.submit()
    receiver.wait(1, 40)
    wait_for(lambda: live.children[0].running.poll() is not None, 20)
    assert WebhookMessage.objects.get().state == MessageState.PENDING
    live.worker(**HERE)
    first, second = receiver.wait(2, 40)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == f"msg_{WebhookMessage.objects.get().pk}"
    wait_for(lambda: WebhookMessage.objects.get().state == MessageState.DELIVERED)
    assert set(told(receiver, secret).values()) == {(str(job.pk), "job.succeeded")}


@pytest.mark.long
def test_every_end_is_told_though_workers_are_killed_and_jobs_end_in_other_processes(live, receiver, secret):
    line = live.line
    line.provider.control.configure(latency={"base_ms": 100})
    victim, heir = live.worker(**HERE), live.worker(**HERE)
    line.submit_many(40)
    wait_for(lambda: states()[State.SUCCEEDED] >= 15, 40)
    victim.kill()
    for job in line.submit_many(5, run_at=timezone.now() + dt.timedelta(hours=1)):  # they end here: this process sends nothing
        cancel(job, by="tests")
    wait_for(lambda: set(states()) <= {State.SUCCEEDED, State.CANCELLED}, 60)
    wait_for(lambda: WebhookMessage.objects.filter(state=MessageState.DELIVERED).count() == 45, 60)
    ends = {(str(pk), f"job.{state}") for pk, state in Job.objects.values_list("pk", "state")}
    found = told(receiver, secret)
    assert set(found.values()) == ends
    assert len(found) == len(ends) == 45
    assert heir.end() == 0
