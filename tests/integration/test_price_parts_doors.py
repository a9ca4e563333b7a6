"""The parts of prices and of usage as people meet them: in the shell, by REST, in the admin."""

import io
import json

import pytest
from django.core.management import call_command

from rateguard.admin.drawing import NOTHING
from rateguard.admin.machine import shown
from rateguard.api.manage.rendering import render_deployment
from rateguard.jobs.insight import calibrated
from rateguard.jobs.models import Attempt, Calibration
from tenants.models import AuditEntry, Deployment, Price, ProviderAccount

PARTS = {"batch_input_usd": "1", "long_context": [{"above_input_tokens": 1000, "input_usd": "4"}], "terms": {"us": "1.1"}}


@pytest.mark.django_db
def test_the_shell_sets_shows_and_keeps_parts():
    def price(*arguments):
        out = io.StringIO()
        call_command("price", *arguments, "--json", stdout=out)
        return json.loads(out.getvalue())

    named = ("--provider", "sim", "--model", "m", "--input", "2", "--output", "8", "--from", "2030-01-01T00:00:00Z")
    assert price("set", *named, "--parts", json.dumps(PARTS))["parts"] == PARTS
    assert price("set", *named)["parts"] == PARTS
    assert price("set", *named, "--parts", "{}")["parts"] == {}
    assert [entry.changes.get("parts") is not None for entry in AuditEntry.objects.order_by("pk")] == [True, True]
    assert Price.objects.get(provider="sim").details == {"prices": {}}


@pytest.mark.django_db
def test_a_deployment_tells_how_far_our_counts_are():
    row = _deployment()
    calibrated.forget()
    assert render_deployment(row)["input_estimate"] is None
    Calibration.objects.create(deployment_id=row.pk, mean_permille=1_100, samples=40, bins=[0.0] * 17 + [40.0])
    calibrated.forget()
    assert render_deployment(row)["input_estimate"] == {"answers": 40, "mean_permille": 1_100, "reserve_permille": 1_157}
    calibrated.forget()


def _deployment():
    account = ProviderAccount.objects.create(name="a", provider="sim", base_url="http://127.0.0.1")
    return Deployment.objects.create(account=account, name="d", upstream_model="m")


def test_what_was_priced_apart_is_told_in_words():
    row = Attempt(cache_write_long_tokens=1_200, audio_output_tokens=3, searches=2, tier="priority", terms="fast us")
    assert shown.parts(row) == "1,200 written to stay long, 3 of the output sound, 2 searches, tier priority, fast, us"
    assert shown.parts(Attempt()) == NOTHING
