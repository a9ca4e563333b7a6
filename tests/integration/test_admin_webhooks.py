"""Webhooks in the admin: whose they are, a secret once, a test, and messages sent again that did not arrive."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import re

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse
from django.utils import timezone

from rateguard.admin.machine.pages import SEEN_AT, YES
from rateguard.jobs.ends.webhooks import send_test
from rateguard.jobs.models import MessageState, WebhookMessage
from tenants.changes.actor import Actor
from tenants.changes.webhooks import create_webhook
from tenants.models import AuditEntry, WebhookEndpoint
from tests.signedin import errors_of, signed_in
from tests.tenancy import acme, add_tenant  # noqa: F401

URL = "https://example.com/hooks/rateguard"
LIST = "admin:rateguard_jobs_webhookmessage_changelist"


@pytest.fixture
def adam(acme):
    return signed_in("adam", acme="admin")


@pytest.fixture
def hook(acme):
    return create_webhook(Actor(by="tests"), acme.tenant, name="hook", url=URL)[0]


@pytest.fixture
def theirs(acme):
    return create_webhook(Actor(by="tests"), add_tenant("globex").tenant, name="theirs", url=URL)[0]


def secret_in(response):
    return re.search(r'id="rg-secret" value="(whsec_[^"]+)"', response.content.decode())[1]


def test_a_secret_is_shown_once_and_what_is_refused_stands_beside_its_field(adam, acme):
    wrong = adam.make("webhookendpoint", tenant=acme.tenant.pk, name="hook", url="https://10.0.0.1/", is_enabled="on")
    assert "not public" in errors_of(wrong)["url"][0]
    made = secret_in(adam.make("webhookendpoint", tenant=acme.tenant.pk, name="hook", url=URL, events=["job.failed"], is_enabled="on"))
    row = WebhookEndpoint.objects.get()
    assert (row.events, row.hears_all, row.secret.reveal()) == (["job.failed"], False, made)
    rotated = secret_in(adam.do(row, "rotate", overlap="1h"))
    pages = adam.see(row).content.decode() + adam.text("webhookendpoint") + str(list(AuditEntry.objects.values()))
    assert rotated != made
    assert not [text for text in (made, rotated) if text in pages]
    adam.told(adam.change(row, name="hook", url=URL + "/2", hears_all="on"))
    row.refresh_from_db()
    assert (row.url, row.is_enabled, row.hears_all) == (URL + "/2", False, True)
    adam.delete(row)
    assert not WebhookEndpoint.objects.exists()


def test_a_test_is_sent_and_dead_messages_are_sent_again(adam, hook):
    assert "on its way" in adam.told(adam.do(hook, "test"))
    WebhookMessage.objects.update(state=MessageState.DEAD, last_error="HTTP 500: <b>no</b>", tries=11)
    page = adam.client.get(reverse(LIST), {"endpoint__name": "hook"}).content.decode()
    assert "HTTP 500: &lt;b&gt;no&lt;/b&gt;" in page
    assert "0 waiting, 1 dead" in adam.see(hook).content.decode()
    assert "Sent again: 1 message." in adam.told(adam.do(hook, "resend"))
    assert WebhookMessage.objects.get().state == MessageState.PENDING


def test_the_button_sends_again_what_is_dead_after_a_question(adam, hook):
    dead, waiting = send_test(hook), send_test(hook)
    WebhookMessage.objects.filter(pk=dead.pk).update(state=MessageState.DEAD)
    page = adam.client.get(reverse("admin:rateguard_jobs_webhookmessage_change", args=[dead.pk])).content.decode()
    assert "Send again" in page
    form = {"action": "send_again", ACTION_CHECKBOX_NAME: [str(dead.pk), str(waiting.pk)]}
    asked = adam.client.post(reverse(LIST), form).content.decode()
    assert "1 of the 2 chosen messages can be sent again." in asked
    assert WebhookMessage.objects.filter(state=MessageState.DEAD).count() == 1
    adam.client.post(reverse(LIST), {**form, YES: "send_again", SEEN_AT: timezone.now().isoformat()})
    assert not WebhookMessage.objects.filter(state=MessageState.DEAD).exists()


def test_another_tenants_webhooks_and_messages_are_not_there_nor_for_who_only_works(adam, hook, theirs):
    message = send_test(theirs)
    WebhookMessage.objects.update(state=MessageState.DEAD)
    assert adam.see(theirs).status_code == 404
    assert adam.do(theirs, "test").status_code == 404
    assert adam.client.get(reverse("admin:rateguard_jobs_webhookmessage_change", args=[message.pk])).status_code == 404
    assert "theirs" not in adam.text("webhookendpoint") + adam.client.get(reverse(LIST)).content.decode()
    form = {"action": "send_again", ACTION_CHECKBOX_NAME: [str(message.pk)], YES: "send_again", SEEN_AT: timezone.now().isoformat()}
    adam.client.post(reverse(LIST), form)
    assert WebhookMessage.objects.get().state == MessageState.DEAD
    mia = signed_in("mia", acme="member")
    assert mia.see(hook).status_code in {302, 403, 404}
    assert mia.client.get(reverse(LIST)).status_code in {302, 403}
