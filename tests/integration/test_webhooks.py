"""Webhooks from a job's end to a receiver of real HTTP: what is told, to whom, how it is signed, and what if it does not arrive."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import datetime as dt
import socket

import orjson
import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models.functions import Now
from django.urls import reverse
from standardwebhooks.webhooks import WebhookVerificationError

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.money import Usage
from rateguard.holding.loop import LoopThread
from rateguard.jobs.attempts.settle import Ended, settle
from rateguard.jobs.ends import messages, outbox, signals
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.ends.webhooks import send_test, tell_batch
from rateguard.jobs.intake.hearing import tells_of
from rateguard.jobs.models import Batch, BatchState, Job, MessageState, OutboxRow, Tells, WebhookMessage
from rateguard.jobs.rendering import render_job
from rateguard.jobs.states import SUCCEED, AttemptState, State
from rateguard.signals import job_ended
from rateguard.worker.webhooks import FAILURES_TO_REST, WebhookSender
from tenants.changes.actor import Actor
from tenants.changes.webhooks import change_webhook, create_webhook, delete_webhook, rotate_webhook
from tenants.models import AuditEntry, Member, Tenant, WebhookEndpoint
from tests.receiver import receiver  # noqa: F401
from tests.simprovider import wait_for

HERE = {"WEBHOOK_NETWORKS": ["127.0.0.0/8"], "WEBHOOK_TIMEOUT_S": 1}
SHELL = Actor(by="shell tests")


@pytest.fixture
def local(settings):
    """Messages may go to this machine."""
    settings.RATEGUARD = {**settings.RATEGUARD, **HERE}


@pytest.fixture
def tenant(transactional_db, local):
    return Tenant.objects.create(name="acme")


@pytest.fixture
def sender(transactional_db, local):
    """A worker's sender on a loop of its own."""
    loop = LoopThread()
    loop.start()

    async def made():
        found = WebhookSender()
        await found.start()
        return found

    running = loop.submit(made()).result(10)
    yield running
    loop.submit(running.stop()).result(10)
    assert loop.stop(5)


def endpoint(tenant, receiver, path="/hook", **fields):
    """An endpoint of a tenant at the receiver, and its secret."""
    return create_webhook(SHELL, tenant, name=path.strip("/"), url=receiver.url + path, **fields)


def state_of(message):
    return WebhookMessage.objects.values_list("state", flat=True).get(pk=message.pk)


def until(message, state):
    wait_for(lambda: state_of(message) == state)
    message.refresh_from_db()
    return message


def due_now(message, **fields):
    """Its time has come, whatever pause there was."""
    WebhookMessage.objects.filter(pk=message.pk).update(next_at=Now(), **fields)
    messages.wake()


# ---- from the end of a job


@pytest.fixture
def job(line, local, receiver):
    """A claimed job of a tenant with an endpoint for all; its end is told by hand."""
    _, secret = endpoint(line.acme, receiver)
    return line.run(), secret


def end_of(claimed, **fields):
    told = {
        "state": AttemptState.SUCCEEDED,
        "transition": SUCCEED,
        "nano_usd": 7,
        "usage": Usage(),
        "result": '{"id": "x", "choices": []}',
        **fields,
    }
    return Ended(job=claimed.job, attempt=claimed.attempt, **told)


def test_the_settle_writes_the_row_of_the_outbox_and_its_telling_the_message(job):
    claimed, _ = job
    settle([end_of(claimed)])
    assert list(OutboxRow.objects.values_list("job", "kind")) == [(claimed.job, "webhook")]
    outbox.deliver([claimed.job])
    outbox.deliver([claimed.job])
    message = WebhookMessage.objects.get()
    assert (message.kind, message.job_id, message.state, OutboxRow.objects.count()) == ("job.succeeded", claimed.job, "pending", 0)


def test_a_message_is_the_job_as_get_shows_it_signed_for_whoever_knows_the_secret(job, receiver, sender):
    claimed, secret = job
    settle([end_of(claimed)])
    outbox.deliver([claimed.job])
    (got,) = receiver.wait(1)
    told = got.verified(secret)
    shown = orjson.loads(orjson.dumps(render_job(Job.objects.get())))
    assert (told["type"], told["timestamp"], told["data"]) == ("job.succeeded", shown["finished_at"], shown)
    assert "request" not in told["data"]
    assert got.headers["webhook-id"] == f"msg_{WebhookMessage.objects.get().pk}"
    with pytest.raises(WebhookVerificationError):
        got.verified("whsec_" + "A" * 43 + "=")
    message = until(WebhookMessage.objects.get(), MessageState.DELIVERED)
    assert (message.tries, message.last_status, message.body) == (1, 204, "")


def test_a_long_answer_is_left_out_and_one_that_is_not_stored_is_nowhere(job):
    claimed, _ = job
    settle([end_of(claimed, result=orjson.dumps({"text": "x" * 70_000}).decode())])
    outbox.deliver([claimed.job])
    told = orjson.loads(WebhookMessage.objects.get().body)["data"]
    assert told["result_omitted"] is True
    assert "result" not in told
    WebhookMessage.objects.all().delete()
    Job.objects.update(is_stored=False, result='{"secret": 1}')
    outbox.write({claimed.job: [outbox.OutboxKind.WEBHOOK]})
    outbox.deliver([claimed.job])
    assert "secret" not in WebhookMessage.objects.get().body


def test_who_hears_is_who_hears_all_and_who_was_named_and_wants_this_event(line, local, receiver):
    endpoint(line.acme, receiver, "/all")
    endpoint(line.acme, receiver, "/failures", events=["job.failed"])
    endpoint(line.acme, receiver, "/named", hears_all=False)
    endpoint(line.acme, receiver, "/other", hears_all=False)
    endpoint(line.acme, receiver, "/off", is_enabled=False)
    endpoint(line.tenant("globex"), receiver, "/foreign")
    job = line.submit(webhook="named")
    cancel(job, by="tests")
    outbox.process_teller().flush(5)
    wait_for(lambda: WebhookMessage.objects.count() >= 2)
    assert sorted(WebhookMessage.objects.values_list("endpoint__name", "kind")) == [("all", "job.cancelled"), ("named", "job.cancelled")]


def test_a_job_of_which_nobody_hears_tells_nobody(tenant, receiver, django_assert_num_queries):
    assert tells_of(tenant) == 0
    row, _ = endpoint(tenant, receiver, hears_all=False)
    assert tells_of(tenant) == 0
    assert tells_of(tenant, "hook") == Tells.WEBHOOK
    with pytest.raises(InvalidRequest) as refused:
        tells_of(tenant, "hok")
    assert (refused.value.code, refused.value.pointer) == ("unknown_webhook", "/job/webhook")
    change_webhook(SHELL, row, hears_all=True)
    assert tells_of(tenant) == Tells.WEBHOOK
    with django_assert_num_queries(0):
        tells_of(tenant)


# ---- on its way


def test_what_is_refused_is_sent_again_later_and_under_the_same_id(tenant, receiver, sender):
    row, secret = endpoint(tenant, receiver)
    receiver.answers["/"] = (500, {}, b"no \x00 room" + b"." * 5_000)
    message = send_test(row)
    wait_for(lambda: WebhookMessage.objects.filter(last_status=500, held_until=None).exists())
    message.refresh_from_db()
    assert (message.state, message.tries) == ("pending", 1)
    assert message.last_error.startswith("HTTP 500: no  room")
    assert len(message.last_error) <= messages.MOST_ERROR_CHARS
    assert 3 < (message.next_at - message.created_at).total_seconds() < 8
    del receiver.answers["/"]
    due_now(message)
    first, second = receiver.wait(2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert second.verified(secret)["type"] == "webhook.test"
    until(message, MessageState.DELIVERED)


def test_a_redirect_is_not_followed_and_retry_after_is_kept(tenant, receiver, sender):
    row, _ = endpoint(tenant, receiver)
    receiver.answers["/hook"] = (302, {"location": receiver.url + "/elsewhere"}, b"")
    moved = send_test(row)
    wait_for(lambda: WebhookMessage.objects.filter(pk=moved.pk, last_status=302, held_until=None).exists())
    receiver.answers["/hook"] = (503, {"retry-after": "900"}, b"")
    busy = send_test(row)
    wait_for(lambda: WebhookMessage.objects.filter(pk=busy.pk, last_status=503, held_until=None).exists())
    busy.refresh_from_db()
    assert 890 < (busy.next_at - busy.created_at).total_seconds() < 920
    assert {got.path for got in receiver.received} == {"/hook"}


def test_after_all_the_hours_a_message_is_dead_until_somebody_sends_it_again(tenant, receiver, sender):
    row, _ = endpoint(tenant, receiver)
    receiver.answers["/"] = (500, {}, b"")
    message = send_test(row)
    last = next(tries for tries in range(1, 50) if messages.pause_after(tries, 24) is None)
    wait_for(lambda: WebhookMessage.objects.filter(tries=1, held_until=None).exists())
    never_tried = WebhookMessage(tenant=tenant, endpoint=row, kind="webhook.test", body="{}", held_until=Now() + dt.timedelta(hours=1))
    never_tried.save()
    WebhookMessage.objects.filter(pk=never_tried.pk).update(next_at=Now() - dt.timedelta(hours=25))
    due_now(message, tries=last - 1)
    until(message, MessageState.DEAD)
    assert state_of(never_tried) == MessageState.DEAD
    del receiver.answers["/"]
    assert messages.resend(row, message.pk) == 1
    assert until(message, MessageState.DELIVERED).tries == 1
    with pytest.raises(InvalidRequest, match="was delivered"):
        messages.resend(row, message.pk)
    assert messages.resend(row) == 1


def test_an_endpoint_that_is_gone_is_disabled_and_sent_nothing_more(tenant, receiver, sender):
    row, _ = endpoint(tenant, receiver)
    receiver.answers["/"] = (410, {}, b"")
    message = until(send_test(row), MessageState.DEAD)
    row.refresh_from_db()
    assert not row.is_enabled
    assert "disabled" in message.last_error
    for deed in (messages.resend, send_test):
        with pytest.raises(InvalidRequest) as refused:
            deed(row)
        assert refused.value.code == "webhook_disabled"


def test_one_dead_receiver_holds_up_no_other(tenant, receiver, sender):
    slow, _ = endpoint(tenant, receiver, "/slow")
    good, _ = endpoint(tenant, receiver, "/good")
    with socket.create_server(("127.0.0.1", 0), backlog=1) as deaf:  # takes connections, and never answers
        WebhookEndpoint.objects.filter(pk=slow.pk).update(url=f"http://127.0.0.1:{deaf.getsockname()[1]}/")
        rows = [WebhookMessage(tenant=tenant, endpoint=slow, kind="webhook.test", body="{}") for _ in range(200)]
        with transaction.atomic():
            messages.insert(rows)
        until(send_test(good), MessageState.DELIVERED)
        assert WebhookMessage.objects.filter(endpoint=slow, held_until__isnull=False).count() <= 8
        wait_for(lambda: WebhookMessage.objects.filter(endpoint=slow, tries=1, held_until=None).count() >= FAILURES_TO_REST)
        until(send_test(good), MessageState.DELIVERED)
        assert WebhookMessage.objects.filter(endpoint=slow, tries__gt=0).count() < 20


def test_of_two_senders_that_saw_the_same_message_one_sends_it(tenant, receiver):
    message = send_test(endpoint(tenant, receiver)[0])
    assert [messages._take(message.pk), messages._take(message.pk)] == [True, False]


def test_the_message_of_a_sender_that_died_is_due_again_when_its_hold_has_run_out(tenant, receiver):
    row, _ = endpoint(tenant, receiver)
    send_test(row)
    (held,) = messages.hold(10, lambda _: 8, [])
    assert messages.hold(10, lambda _: 8, []) == []
    assert not messages.is_any_due()
    WebhookMessage.objects.update(held_until=Now() - dt.timedelta(seconds=1))
    assert messages.is_any_due()
    (again,) = messages.hold(10, lambda _: 8, [])
    assert (again.id, again.number, held.number) == (held.id, 2, 1)
    messages.failed(held, messages.Failure("too late"))  # the first one comes back: somebody else is at it
    assert WebhookMessage.objects.get().held_until is not None
    messages.delivered(held, 200)
    messages.failed(again, messages.Failure("no"))
    assert WebhookMessage.objects.get().state == MessageState.DELIVERED


# ---- where it may go

INNER = ("http://127.0.0.1", "http://localhost", "http://127.1", "http://2130706433", "http://[::ffff:127.0.0.1]", "http://rebound.example")


def test_nothing_leaves_for_this_machine_whatever_the_address_says_and_wherever_a_name_leads(
    tenant, receiver, sender, settings, monkeypatch
):
    asked = socket.getaddrinfo
    here = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", receiver.port))]
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: here if host == "rebound.example" else asked(host, *rest, **more)
    )
    row, _ = endpoint(tenant, receiver)
    settings.RATEGUARD = {**settings.RATEGUARD, "WEBHOOK_NETWORKS": []}
    for url in INNER:
        WebhookEndpoint.objects.filter(pk=row.pk).update(url=f"{url}:{receiver.port}/hook")
        row.refresh_from_db()
        message = send_test(row)
        wait_for(lambda pk=message.pk: WebhookMessage.objects.filter(pk=pk, tries=1, held_until=None).exists())
        message.refresh_from_db()
        assert "127" not in message.last_error
        sender._standings.clear()  # it would rest after some failures
    assert receiver.received == []
    with pytest.raises(InvalidRequest) as refused:
        change_webhook(SHELL, row, url="https://169.254.169.254/latest/meta-data")
    assert refused.value.pointer == "/url"


def test_in_production_a_message_goes_by_https_but_to_an_allowed_network(tenant, receiver, settings):
    settings.RATEGUARD_ENV = "production"
    settings.RATEGUARD = {**settings.RATEGUARD, "WEBHOOK_NETWORKS": [], "ENCRYPTION_KEYS": ["A" * 43 + "="]}
    with pytest.raises(InvalidRequest, match="https"):
        create_webhook(SHELL, tenant, name="plain", url="http://example.com/hook")
    settings.RATEGUARD = {**settings.RATEGUARD, **HERE}
    assert create_webhook(SHELL, tenant, name="plain", url=receiver.url)
    with pytest.raises(InvalidRequest):
        create_webhook(SHELL, tenant, name="other", url="http://93.184.216.34/")


# ---- secrets


def test_a_rotation_signs_with_both_secrets_until_the_old_one_is_over(tenant, receiver, sender):
    row, old = endpoint(tenant, receiver)
    new = rotate_webhook(SHELL, row, dt.timedelta(hours=1))
    row.refresh_from_db()
    until(send_test(row), MessageState.DELIVERED)
    for secret in (old, new):
        assert receiver.received[0].verified(secret)
    WebhookEndpoint.objects.update(previous_expires_at=Now() - dt.timedelta(seconds=1))
    until(send_test(row), MessageState.DELIVERED)
    assert receiver.received[1].verified(new)
    with pytest.raises(WebhookVerificationError):
        receiver.received[1].verified(old)


def test_a_secret_is_encrypted_at_rest_and_in_no_line_of_the_audit(tenant, receiver):
    row, secret = endpoint(tenant, receiver)
    newer = rotate_webhook(SHELL, row, dt.timedelta(0))
    with connection.cursor() as cursor:
        cursor.execute("select secret, previous_secret from rateguard_tenants_webhookendpoint")
        ((stored, previous),) = cursor.fetchall()
    told = str(list(AuditEntry.objects.values()))
    for text in (secret, newer):
        assert text not in stored + previous + told + repr(row)
    assert stored.startswith("fernet:")
    assert previous == ""


def test_deleting_an_endpoint_takes_its_messages_with_it(tenant, receiver):
    row, _ = endpoint(tenant, receiver)
    send_test(row)
    delete_webhook(SHELL, row)
    assert not WebhookMessage.objects.exists()
    assert AuditEntry.objects.filter(kind="webhook").count() == 2


# ---- the signal of Django


@pytest.fixture
def heard():
    """What a receiver of the host hears; another one beside it fails."""
    found = []

    def fails(**_):
        raise ValueError("a receiver's own trouble")

    def hears(job, state, **_):
        found.append((job, state))

    for one in (fails, hears):
        job_ended.connect(one)
    yield found
    for one in (fails, hears):
        job_ended.disconnect(one)


def test_a_receiver_of_the_signal_hears_of_an_end_and_one_that_raises_holds_up_no_other(line, heard, caplog):
    assert tells_of(line.acme) == Tells.SIGNAL
    job = line.submit()
    cancel(job, by="tests")
    wait_for(lambda: heard)
    wait_for(lambda: not OutboxRow.objects.exists())
    assert heard == [(job.pk, State.CANCELLED)]
    assert "fails" in caplog.text


def test_a_process_without_receivers_leaves_an_end_to_one_that_has_some(line, heard):
    job = line.submit()
    Job.objects.filter(pk=job.pk).update(state=State.CANCELLED, finished_at=Now())
    outbox.write({job.pk: [outbox.OutboxKind.SIGNAL]})
    receivers, job_ended.receivers = job_ended.receivers, []
    job_ended.sender_receivers_cache.clear()
    assert not signals.deliver(job.pk)
    job_ended.receivers = receivers
    job_ended.sender_receivers_cache.clear()
    OutboxRow.objects.update(created_at=Now())  # a minute later
    assert signals.deliver(job.pk)
    assert heard == [(job.pk, State.CANCELLED)]
    assert not signals.deliver(job.pk)


# ---- a job's page


def test_a_jobs_page_tells_who_was_told_and_nothing_of_the_endpoints_address(line, local, receiver, client):
    row, _ = endpoint(line.acme, receiver)
    job = line.submit()
    cancel(job, by="tests")
    wait_for(WebhookMessage.objects.exists)
    mia = get_user_model().objects.create_user("mia")
    Member.objects.create(user=mia, tenant=line.acme, role="viewer")
    client.force_login(mia, backend="django.contrib.auth.backends.ModelBackend")
    page = reverse("dashboard:job", args=[job.pk])
    assert "hook is told soon" in client.get(page).content.decode()
    WebhookMessage.objects.update(state=MessageState.DEAD, tries=11, last_error="inner words")
    told = client.get(page).content.decode()
    assert "hook was not told: given up after 11 tries" in told
    assert row.url not in told
    assert "inner words" not in told


def test_a_batch_that_is_closed_is_told_with_how_its_jobs_ended(line, local, receiver):
    endpoint(line.acme, receiver, "/batches", events=["batch.completed"], hears_all=False)
    batch = Batch.objects.create(tenant=line.acme, total=2, rejected=1, webhook="batches", tells=tells_of(line.acme, "batches"))
    for state in (State.SUCCEEDED, State.FAILED):
        job = line.submit()
        Job.objects.filter(pk=job.pk).update(batch=batch, state=state, finished_at=Now(), nano_usd=5)
    Batch.objects.update(state=BatchState.COMPLETED, finished_at=Now())
    batch.refresh_from_db()
    with transaction.atomic():
        tell_batch(batch)
    message = WebhookMessage.objects.get()
    told = orjson.loads(message.body)["data"]
    assert (message.kind, message.batch_id, message.job_id) == ("batch.completed", batch.pk, None)
    assert (told["jobs"], told["total"], told["rejected"], told["cost_nano_usd"]) == ({"failed": 1, "succeeded": 1}, 2, 1, 10)
    Batch.objects.update(tells=0)
    batch.refresh_from_db()
    tell_batch(batch)
    assert WebhookMessage.objects.count() == 1


def test_messages_that_ended_go_after_their_days_and_with_their_jobs_bodies(line, local, receiver):
    row, _ = endpoint(line.acme, receiver)
    job = line.submit()
    waiting, old, new, purged = (send_test(row) for _ in range(4))
    WebhookMessage.objects.exclude(pk=waiting.pk).update(state=MessageState.DEAD)
    WebhookMessage.objects.filter(pk__in=[waiting.pk, old.pk]).update(created_at=Now() - dt.timedelta(days=31))
    WebhookMessage.objects.filter(pk=purged.pk).update(job=job)
    Job.objects.update(purged_at=Now())
    assert messages.delete_old() == 2
    assert set(WebhookMessage.objects.values_list("pk", flat=True)) == {waiting.pk, new.pk}
