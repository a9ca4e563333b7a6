"""Webhook endpoints by REST and from the shell: whose they are, a secret once, messages and what is sent again."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from rateguard.jobs.ends.webhooks import send_test
from rateguard.jobs.models import MessageState, WebhookMessage
from tenants.changes.actor import Actor
from tenants.changes.webhooks import MOST_ENDPOINTS, create_webhook
from tenants.keys import issue_key
from tenants.models import AuditEntry, WebhookEndpoint
from tests.api import problem_of
from tests.managing import ALL, Manager, globex, operator, own  # noqa: F401
from tests.tenancy import acme  # noqa: F401

pytestmark = pytest.mark.django_db

URL = "https://example.com/hooks/rateguard"


@pytest.fixture
def hook(own):
    return own.made("webhooks", {"name": "hook", "url": URL})


def told(*words):
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue().rstrip("\n")


# ---- REST


def test_a_secret_is_told_once_to_who_makes_or_rotates_it(own, hook):
    assert hook["secret"].startswith("whsec_")
    assert (hook["tenant"], hook["events"], hook["hears_all"], hook["is_enabled"]) == ("acme", [], True, True)
    rotated = own.ask("post", f"webhooks/{hook['id']}/rotate", {"overlap": "1h"})
    assert rotated.headers["Cache-Control"] == "no-store"
    assert rotated.json()["secret"] not in {hook["secret"], None}
    assert rotated.json()["old_secret_until"]
    shown = own.ask("get", hook["at"])
    for text in (hook["secret"], rotated.json()["secret"]):
        assert text not in shown.content.decode() + str(own.rows("webhooks")) + str(list(AuditEntry.objects.values()))
    assert problem_of(own.ask("post", f"webhooks/{hook['id']}/rotate", {"overlap": "40 d"}), 400, "invalid_field")


WRONG = [
    ({"url": "ftp://example.com"}, "/url"),
    ({"url": "https://user:pw@example.com"}, "/url"),
    ({"url": "https://10.0.0.1/x"}, "/url"),
    ({"url": "https://0x7f.1/x"}, "/url"),
    ({"url": "https://[::1]/x"}, "/url"),
    ({"url": "https://localhost/x"}, "/url"),
    ({"url": "https://exa mple.com"}, "/url"),
    ({"url": "https://"}, "/url"),
    ({"events": ["job.succeeded", "job.succeeded"]}, "/events"),
    ({"name": "17"}, "/name"),
    ({"name": "a b"}, "/name"),
]


@pytest.mark.parametrize(("fields", "pointer"), WRONG)
def test_what_is_wrong_is_named_and_nothing_is_written(own, hook, fields, pointer):
    before = AuditEntry.objects.count()
    problem = own.ask("patch", hook["at"], fields).json()
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("invalid_field", pointer)
    assert own.ask("post", "webhooks", {"name": "other", "url": URL, **fields}).status_code == 400
    assert AuditEntry.objects.count() == before
    assert WebhookEndpoint.objects.count() == 1


def test_names_are_a_tenants_own_and_there_are_not_too_many(own, operator, hook, globex):
    problem_of(own.ask("post", "webhooks", {"name": "hook", "url": URL}), 409, "name_taken")
    operator.made("webhooks", {"tenant": "globex", "name": "hook", "url": URL})
    for number in range(1, MOST_ENDPOINTS):
        own.made("webhooks", {"name": f"hook-{number}", "url": URL})
    problem_of(own.ask("post", "webhooks", {"name": "one-more", "url": URL}), 400, "invalid_field")
    assert len(operator.rows("webhooks?tenant=globex")) == 1
    assert [row["name"] for row in operator.rows("webhooks?name=hook&limit=5")] == ["hook", "hook"]


def test_messages_are_listed_by_state_in_pages_and_sent_again(own, hook):
    row = WebhookEndpoint.objects.get()
    sent = [own.ask("post", f"{hook['at']}/test").json()["id"] for _ in range(5)]
    WebhookMessage.objects.filter(pk__in=[text.removeprefix("msg_") for text in sent[:3]]).update(state=MessageState.DEAD, tries=11)
    at, found = f"{hook['at']}/messages?state=dead&limit=2", []
    while at:
        page = own.ask("get", at).json()
        found += [message["id"] for message in page["data"]]
        at = page["next_cursor"] and f"{hook['at']}/messages?state=dead&limit=2&cursor={page['next_cursor']}"
    assert found == sent[2::-1]
    again = own.ask("post", f"{hook['at']}/messages/{sent[0].removeprefix('msg_')}/resend")
    assert (again.status_code, again.json()["state"], again.json()["tries"]) == (202, "pending", 0)
    assert own.ask("post", f"{hook['at']}/resend").json() == {"object": "resent", "messages": 2}
    deeds = [entry.changes for entry in AuditEntry.objects.filter(kind="webhook", action="changed", name="hook").order_by("pk")]
    assert deeds == [*({"test": [None, id_]} for id_ in sent), {"sent_again": [None, sent[0]]}, {"sent_again": [None, 2]}]
    row.messages.update(state=MessageState.DELIVERED)
    problem_of(own.ask("post", f"{hook['at']}/messages/{sent[0].removeprefix('msg_')}/resend"), 409, "not_resendable")
    assert own.ask("patch", hook["at"], {"is_enabled": False}).status_code == 200
    problem_of(own.ask("post", f"{hook['at']}/test"), 409, "webhook_disabled")


def test_another_tenants_endpoints_and_messages_are_not_there(own, acme, globex):
    other, _ = create_webhook(Actor(by="tests"), globex[0].tenant, name="theirs", url=URL)
    message = send_test(other)
    for method, path in [
        ("get", ""), ("patch", ""), ("delete", ""), ("post", "/rotate"), ("post", "/test"), ("get", "/messages"), ("post", "/resend"),
        ("post", f"/messages/{message.pk}/resend"),
    ]:  # fmt: skip
        body = {"is_enabled": False} if method == "patch" else {} if path == "/rotate" else None
        problem_of(own.ask(method, f"webhooks/{other.pk}{path}", body), 404, "not_found")
    mine = own.made("webhooks", {"name": "mine", "url": URL})
    problem_of(own.ask("post", f"{mine['at']}/messages/{message.pk}/resend"), 404, "not_found")
    assert [row["name"] for row in own.rows("webhooks")] == ["mine"]
    reader = Manager(issue_key(acme.tenant, "reader", permissions=["read", "submit"])[1])
    problem_of(reader.ask("get", "webhooks"), 403, "forbidden")
    bound = Manager(issue_key(acme.tenant, "bound", permissions=ALL, bound={"team": "ml"})[1])
    problem_of(bound.ask("post", f"{mine['at']}/test"), 403, "forbidden")
    assert WebhookMessage.objects.count() == 1


# ---- the shell


def test_the_shell_does_all_of_it(acme):
    made = json.loads(told("webhook", "create", "hook", "--tenant", "acme", "--url", URL, "--event", "job.failed", "--json"))
    assert made["secret"].startswith("whsec_")
    assert "whsec_" in told("webhook", "rotate", "hook", "--overlap", "2h")
    assert told("webhook", "change", "hook", "--hears-all", "no") == "changed webhook hook of acme"
    assert "example.com" in told("webhook", "list")
    assert "is on its way" in told("webhook", "test", str(made["id"]))
    WebhookMessage.objects.update(state=MessageState.DEAD, last_error="HTTP 500: no")
    assert "HTTP 500: no" in told("webhook", "messages", "hook", "--state", "dead")
    assert told("webhook", "resend", "hook") == "sent again to hook: 1 message"
    with pytest.raises(CommandError, match="no webhook 'nope'"):
        told("webhook", "test", "nope")
    with pytest.raises(CommandError, match="url: this address is not public"):
        told("webhook", "change", "hook", "--url", "https://127.0.0.1/")
    assert told("webhook", "delete", "hook") == "deleted webhook hook of acme"
    assert not WebhookEndpoint.objects.exists()
    assert connection.needs_rollback is False
