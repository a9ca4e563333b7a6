"""The admin's lists of what the machine wrote: quick at any size, of one's own tenant alone, and changed by nobody."""

import datetime as dt
import re
import uuid

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from rateguard.admin.machine import listing
from rateguard.admin.machine.jobs import JobAdmin
from rateguard.jobs.models import Attempt, Hindrance, Job, JobEvent, Lease, OutboxRow
from tenants.models import AuditEntry, GateEvent, LedgerEntry, Member, Pause, Run, Tenant

BACKEND = "django.contrib.auth.backends.ModelBackend"
OF_TENANTS = {
    "rateguard_jobs_job": Job,
    "rateguard_jobs_attempt": Attempt,
    "rateguard_tenants_ledgerentry": LedgerEntry,
    "rateguard_tenants_auditentry": AuditEntry,
    "rateguard_tenants_gateevent": GateEvent,
    "rateguard_tenants_run": Run,
}
OF_OPERATORS = {
    "rateguard_jobs_jobevent": JobEvent,
    "rateguard_jobs_hindrance": Hindrance,
    "rateguard_jobs_outboxrow": OutboxRow,
    "rateguard_jobs_lease": Lease,
}
LISTS = {**OF_TENANTS, **OF_OPERATORS, "rateguard_tenants_pause": Pause}
MOST_QUERIES = 15


def signed_in(name, **roles):
    """A client of a person: with roles by tenant, without any an operator."""
    users = get_user_model().objects
    user = users.create_user(name, password=None) if roles else users.create_superuser(name)
    for tenant, role in roles.items():
        Member.objects.create(user=user, tenant=Tenant.objects.get(name=tenant), role=role)
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client


def list_of(name, **asked):
    return reverse(f"admin:{name}_changelist", query=asked)


def page_of(row):
    options = type(row)._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk])


def make_job(tenant, **fields):
    told = {"request": '{"messages": "MARK-asked"}', "result": '{"text": "MARK-answered"}', "path": f"{tenant.pk}", "timeout_s": 60}
    counts = dict.fromkeys(("input_tokens", "output_tokens", "max_output_tokens"), 1)
    more = {"model": "gpt", "endpoint": "chat", "state": "failed", "max_tries": 3, "finished_at": timezone.now(), "nano_usd": 1_234_567}
    return Job.objects.create(tenant=tenant, **{**told, **counts, **more, **fields})


def fill(tenant):
    """One row of everything, of this tenant."""
    job = make_job(tenant, request_id=f"request-of-{tenant.name}", idempotency_key=f"key-of-{tenant.name}")
    reserved = {f"reserved_{name}": 1 for name in ("input_tokens", "output_tokens", "max_output_tokens", "nano_usd")}
    deployment = {"deployment_id": 1, "deployment": f"d-{tenant.name}", "model": "gpt"}
    Attempt.objects.create(reservation_id=job.pk, number=1, job=job, tenant=tenant, state="failed", holder="w", **deployment, **reserved)
    JobEvent.objects.create(job=job, kind="failed", detail={"by": "user boss"})
    LedgerEntry.objects.create(tenant=tenant, job_id=job.pk, reservation_id=job.pk, attempt=1, kind="charge", nano_usd=1_234_567)
    AuditEntry.objects.create(tenant=tenant, by="user boss", action="changed", kind="limit", object_id="1", name=f"limit-of-{tenant.name}")
    GateEvent.objects.create(notice=f"n{tenant.pk}", kind="threshold", tenant=tenant, subject=f"b-{tenant.name}", at=timezone.now())
    Run.objects.create(tenant=tenant, name=f"run-of-{tenant.name}")
    Pause.objects.create(target_kind="tenant", target=str(tenant.pk), reason=f"pause-of-{tenant.name}")
    Hindrance.objects.create(model="gpt", lane=3, kind="limit", tenant=tenant)
    OutboxRow.objects.create(job=job, kind="canvas")
    Lease.objects.get_or_create(name="caretaker", defaults={"holder": "w", "expires_at": timezone.now()})
    return job


@pytest.fixture
def world(db):
    return {name: fill(Tenant.objects.create(name=name)) for name in ("acme", "globex")}


ASKED = {"tenant": "acme", "from": "2026-01-01", "to": "2099-01-01", "model": "gpt", "kind": "charge", "state": "failed", "lane": "normal"}


@pytest.mark.long
def test_no_list_counts_and_none_asks_much_whatever_it_is_filtered_by(world):
    boss, ann = signed_in("boss"), signed_in("ann", acme="admin")
    for name, model in LISTS.items():
        known = {one for spec in admin.site._registry[model].list_filter for one in spec.parameters}
        all_at_once = {key: value for key, value in ASKED.items() if key in known}
        for client, asked in ((boss, {}), (ann, {"tenant": "acme"}), (boss, all_at_once), (boss, {"q": str(world["acme"].pk)[:13]})):
            with CaptureQueriesContext(connection) as seen:
                response = client.get(list_of(name, **asked) if client is boss else list_of(name))
            assert response.status_code == (403 if client is ann and name in OF_OPERATORS else 200), (name, asked)
            assert len(seen) <= MOST_QUERIES, (name, asked, [query["sql"] for query in seen])
            assert not [query["sql"] for query in seen if "COUNT(" in query["sql"].upper()], (name, asked)


def test_a_tenants_admin_sees_its_own_rows_alone(world):
    ann = signed_in("ann", acme="admin")
    for name, model in OF_TENANTS.items():
        text = ann.get(list_of(name)).content.decode()
        own, foreign = (model.objects.get(tenant__name=tenant) for tenant in ("acme", "globex"))
        assert page_of(own) in text, name
        assert page_of(foreign) not in text, name
        assert page_of(foreign) not in ann.get(list_of(name, tenant="globex")).content.decode(), name
        assert (ann.get(page_of(own)).status_code, ann.get(page_of(foreign)).status_code) == (200, 404), name
    assert "pause-of-acme" in (text := ann.get(list_of("rateguard_tenants_pause")).content.decode())
    assert "pause-of-globex" not in text
    assert {ann.get(list_of(name)).status_code for name in OF_OPERATORS} == {403}


def test_a_tenant_is_not_told_which_operator_it_was(world):
    ann, boss = signed_in("ann", acme="owner"), signed_in("boss")
    entry = AuditEntry.objects.get(tenant__name="acme")
    for path in (list_of("rateguard_tenants_auditentry"), page_of(entry), page_of(world["acme"])):
        assert "user boss" in boss.get(path).content.decode()
        text = ann.get(path).content.decode()
        assert "an operator" in text
        assert "user boss" not in text
    AuditEntry.objects.update(by="user ann")
    assert "user ann" in ann.get(list_of("rateguard_tenants_auditentry")).content.decode()


def test_what_was_asked_and_answered_is_shown_to_who_may_read_it(world):
    mixed = signed_in("mixed", acme="admin", globex="viewer")
    shown, hidden = (mixed.get(page_of(world[name])).content.decode() for name in ("acme", "globex"))
    assert "MARK-asked" in shown
    assert "MARK-answered" in shown
    assert "$0.001234567" in shown
    assert "MARK" not in hidden
    assert "$0.001234567" in hidden


def test_no_column_can_be_looked_into_by_an_address(world):
    boss = signed_in("boss")
    for asked in ({"result__contains": "MARK"}, {"request__startswith": "x"}, {"tenant__api_keys__digest__gt": "0"}):
        assert boss.get(list_of("rateguard_jobs_job", **asked)).status_code == 400


def test_nobody_changes_what_the_machine_wrote(world):
    boss = signed_in("boss")
    for name, model in LISTS.items():
        row = model.objects.first()
        assert boss.post(page_of(row), {"nano_usd": 1, "state": "queued"}).status_code == 403, name
        assert boss.post(reverse(f"admin:{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403, name
        if model is not Pause:
            assert boss.post(reverse(f"admin:{name}_add"), {}).status_code == 403, name
    assert LedgerEntry.objects.filter(nano_usd=1_234_567).count() == 2


def test_who_may_set_nothing_does_not_enter(world):
    vera = signed_in("vera", acme="viewer")
    for name in LISTS:
        assert vera.get(list_of(name)).status_code in {302, 403}
    told = {
        "action": "retry_jobs",
        "_selected_action": [str(world["acme"].pk)],
        "verb_yes": "retry_jobs",
        "verb_seen_at": "2099-01-01T00:00:00Z",
    }
    vera.post(list_of("rateguard_jobs_job"), told)
    assert Job.objects.get(pk=world["acme"].pk).state == "failed"


# ---- pages


def ids_in(text):
    return re.findall(r"<code>([0-9a-f-]{36})</code>", text)


@pytest.mark.long
def test_pages_lead_on_and_back_and_stay_what_they_are(world, monkeypatch):
    monkeypatch.setattr(JobAdmin, "list_per_page", 3)
    acme, boss = world["acme"].tenant, signed_in("boss")
    start = timezone.now() + dt.timedelta(hours=1)
    made = [str(make_job(acme, submitted_at=start + dt.timedelta(seconds=number // 2)).pk) for number in range(7)]
    first = boss.get(list_of("rateguard_jobs_job", tenant="acme"))
    changes = first.context["cl"]
    assert set(ids_in(first.content.decode())) <= set(made[3:])
    second = boss.get(list_of("rateguard_jobs_job") + changes.older_url())
    make_job(acme, submitted_at=start + dt.timedelta(days=1))
    third = boss.get(list_of("rateguard_jobs_job") + second.context["cl"].older_url())
    seen = [one for page in (first, second, third) for one in ids_in(page.content.decode())]
    assert sorted(seen) == sorted([*made, str(world["acme"].pk)])
    back = boss.get(list_of("rateguard_jobs_job") + third.context["cl"].newer_url())
    assert ids_in(back.content.decode()) == ids_in(second.content.decode())
    assert third.context["cl"].older_url() == ""


@pytest.mark.long
def test_a_page_that_is_none_is_told(world):
    boss = signed_in("boss")
    for beside in ("nonsense", "W10", "WzEsMl0", "A" * 5_000):
        response = boss.get(list_of("rateguard_jobs_job", beside=beside), follow=True)
        assert response.status_code == 200
        assert "was not understood" in response.content.decode()


@pytest.mark.long
def test_bad_filters_are_told(world):
    boss = signed_in("boss")
    bad = {"tenant": ("nobody", "no tenant"), "from": ("soon", "no day"), "to": ("2026-99-99", "no day"), "state": ("odd", "is none")}
    for name, (value, told) in bad.items():
        assert told in boss.get(list_of("rateguard_jobs_job", **{name: value})).content.decode()
    assert not ids_in(boss.get(list_of("rateguard_jobs_job", tenant="nobody")).content.decode())


def test_what_no_index_knows_is_looked_for_among_the_newest_and_the_page_says_so(world, monkeypatch):
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", 1)
    boss = signed_in("boss")
    response = boss.get(list_of("rateguard_tenants_ledgerentry", kind="credit"))
    assert "Look further back" in response.content.decode()
    assert boss.get(list_of("rateguard_tenants_ledgerentry") + response.context["cl"].older_url()).status_code == 200


@pytest.mark.long
def test_jobs_are_found_by_their_ids_and_by_those_of_their_requests(world):
    boss, job = signed_in("boss"), world["acme"]
    for term in (str(job.pk), job.pk.hex, str(job.pk)[:24], "request-of-acme", "key-of-acme", f"  {job.pk} "):
        assert ids_in(boss.get(list_of("rateguard_jobs_job", q=term)).content.decode()) == [str(job.pk)], term
    for term in ("request-of", "%", uuid.uuid4().hex, "0" * 7):
        assert ids_in(boss.get(list_of("rateguard_jobs_job", q=term)).content.decode()) == [], term
    ann = signed_in("ann", globex="admin")
    for term in (str(job.pk), "request-of-acme", "key-of-acme"):
        assert ids_in(ann.get(list_of("rateguard_jobs_job", q=term)).content.decode()) == []
