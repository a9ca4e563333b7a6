"""What a request asks for that makes it dearer is reserved, and only by such a request: a tier, a term, a long input."""

import dataclasses

import pytest

from rateguard import wiring
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.money import most_nano_usd
from rateguard.jobs.intake.submit import submit
from rateguard.jobs.line.waiting import waiting_of
from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from tenants.models import ModelRoute

DETAILS = {
    "prices": {"priority_input": 300_000, "priority_output": 1_200_000},
    "long_context": [{"above_input_tokens": 50, "price": {"input": 600_000, "output": 900_000}}],
    "terms": {"us": 1_100},
}
LONG_TEXT = "word " * 60


@pytest.fixture
def dear(line):
    line.price.details = DETAILS
    line.price.save()
    return line


def ask(line, text="hello", **fields):
    submission = line.submission(text=text)
    return submit(dataclasses.replace(submission, body={**submission.body, **fields})).job


@pytest.mark.parametrize(
    ("text", "fields", "name"),
    [
        ("hello", {}, "sim-1"),
        ("hello", {"service_tier": "flex"}, "sim-1"),
        ("hello", {"service_tier": "priority"}, "sim-1~priority"),
        ("hello", {"service_tier": "fast", "inference_geo": "us"}, "sim-1~priority+us"),
        (LONG_TEXT, {}, "sim-1~long"),
        (LONG_TEXT, {"service_tier": "priority", "inference_geo": "us"}, "sim-1~long+priority+us"),
        ("hello", {"speed": "fast", "inference_geo": "nowhere"}, "sim-1"),
    ],
)
def test_what_the_gate_reserves_is_the_most_that_such_a_request_can_cost(dear, text, fields, name):
    job = ask(dear, text, **fields)
    assert waiting_of(job).model == name
    dear.beat()
    (claimed,) = dear.claim(dear.next_message())
    price = next(iter(wiring.directory().places.values())).price
    assert claimed.cost == most_nano_usd(price, job.input_tokens, job.max_output_tokens, terms=job.price_words.split())
    assert (claimed.cost > 13_200) == (name != "sim-1")


def test_a_budget_that_pays_the_standard_tier_refuses_priority_at_once(dear):
    dear.budget(most_nano_usd(next(iter(wiring.directory().places.values())).price, 20, 20))
    ask(dear)
    with pytest.raises(InvalidRequest) as refused:
        ask(dear, service_tier="priority")
    assert refused.value.code == "exceeds_limit"


def test_dearer_work_of_a_disabled_model_waits_too(dear):
    ask(dear, service_tier="priority")
    route = ModelRoute.objects.get()
    route.is_enabled = False
    route.save()
    dear.beat()
    dear.settled()
    assert Job.objects.get().state == State.QUEUED
    assert dear.messages.empty()
    route.is_enabled = True
    route.save()
    dear.beat()
    assert len(dear.claim(dear.next_message())) == 1


def test_dearer_work_of_a_deleted_model_is_granted_no_more(dear):
    ask(dear, service_tier="priority")
    ModelRoute.objects.get().delete()
    dear.beat()
    dear.settled()
    assert Job.objects.get().state == State.QUEUED
    assert dear.messages.empty()


def test_work_that_waits_under_a_price_that_goes_away_is_granted_all_the_same(dear):
    ask(dear, service_tier="priority")
    dear.price.details = {}
    dear.price.save()
    dear.beat()
    assert len(dear.claim(dear.next_message())) == 1
