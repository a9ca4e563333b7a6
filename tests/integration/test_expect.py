"""What our own token limits reserve for an answer: the learned p95, or the most where nothing is known."""

import datetime as dt

import pytest
from django.utils import timezone

from rateguard.engine.histogram import bin_of
from rateguard.jobs.insight import expect
from tenants.models import Measure, Tenant, UsageQuarter, UsageQuarterBin

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_known():
    expect.forget()
    yield
    expect.forget()


@pytest.fixture
def acme():
    return Tenant.objects.create(name="acme")


def answers(tenant, sizes, model="m", ago=dt.timedelta(0)):
    quarter = UsageQuarter.objects.create(tenant=tenant, model=model, starts_at=timezone.now() - ago)
    for size in sizes:
        row, _ = UsageQuarterBin.objects.get_or_create(quarter=quarter, measure=Measure.OUTPUT_TOKENS, bin=bin_of(size))
        row.count += 1
        row.save()


def test_without_enough_answers_the_most_is_reserved(acme):
    answers(acme, [10] * (expect.ENOUGH - 1))
    assert expect.expected_output_tokens(acme.pk, "m", 1_000) == 1_000


def test_the_p95_of_the_tenants_answers_is_reserved(acme):
    answers(acme, [10] * 90 + [100] * 10)
    assert 100 <= expect.expected_output_tokens(acme.pk, "m", 1_000) <= 110


def test_never_more_than_the_most_is_reserved(acme):
    answers(acme, [500] * 50)
    assert expect.expected_output_tokens(acme.pk, "m", 64) == 64


def test_a_new_tenant_begins_with_the_models_p95(acme):
    answers(acme, [10] * 100)
    new = Tenant.objects.create(name="new")
    assert expect.expected_output_tokens(new.pk, "m", 1_000) == 10


def test_another_models_answers_and_old_ones_tell_nothing(acme):
    answers(acme, [10] * 100, model="other")
    answers(acme, [10] * 100, ago=2 * expect.LOOK_BACK)
    assert expect.expected_output_tokens(acme.pk, "m", 1_000) == 1_000


def test_a_figure_is_kept_for_a_while(acme):
    assert expect.expected_output_tokens(acme.pk, "m", 1_000) == 1_000
    answers(acme, [10] * 100)
    assert expect.expected_output_tokens(acme.pk, "m", 1_000) == 1_000
    expect.forget()
    assert expect.expected_output_tokens(acme.pk, "m", 1_000) == 10
