"""Requests and answers at rest: sealed where the setting says so, read whichever way they were written, removed when their time is over."""

import datetime as dt
import time

import pytest
import redis
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from rateguard.conf import conf
from rateguard.engine.errors import InvalidRequest, SecretUnreadable
from rateguard.engine.money import Usage
from rateguard.jobs.attempts.settle import Ended, settle
from rateguard.jobs.bodies import is_sealed, opened, seal
from rateguard.jobs.failures import fingerprint_of
from rateguard.jobs.intake.retry import retry
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Attempt, Job, WebhookMessage
from rateguard.jobs.states import FAIL, AttemptState, State
from rateguard.jobs.upkeep.purging import Purge
from rateguard.worker.caretaker import Caretaker
from tenants.keys import issue_key
from tenants.models import LedgerEntry, WebhookEndpoint
from tests.api import Api
from tests.line import assert_books_close, has_ended, state_of, wait_for

ASKED = "what-nobody-else-may-read"
NEW = Fernet.generate_key().decode()


@pytest.fixture
def sealing(settings):
    settings.RATEGUARD = {**settings.RATEGUARD, "ENCRYPT_BODIES": True}


def dump():
    """All that the database holds."""
    with connection.cursor() as cursor:
        held = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'select * from "{table}"')
            held += cursor.fetchall()
    return repr(held)


def in_redis(url):
    """All that Redis holds."""
    client = redis.Redis.from_url(url)
    read = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"stream": client.xrange,
    }
    return repr([(key, read[client.type(key)](key)) for key in client.scan_iter(count=1000)])


def held(job):
    """Both bodies as the database has them."""
    number = str(job.pk) if connection.vendor == "postgresql" else job.pk.hex
    with connection.cursor() as cursor:
        cursor.execute("select request, result from rateguard_jobs_job where id = %s", [number])
        return cursor.fetchone()


# ---- sealed


def test_neither_the_database_nor_redis_holds_a_word_of_what_was_asked_and_answered(sealing, line, station, redis_url):
    kept, gone = line.submit(text=ASKED), line.submit(text=ASKED, store=False)
    assert all(is_sealed(held(job)[0]) for job in (kept, gone))
    api = Api(issue_key(line.acme, "t")[1])
    assert wait_for(lambda: has_ended(kept) and has_ended(gone))
    answers = [answer_in(api, job) for job in (kept, gone)]
    everything = dump() + in_redis(redis_url)
    assert kept.pk.hex in everything.replace("-", "")
    assert not [text for text in (ASKED, *answers) if text in everything]
    assert_books_close()


def test_what_a_provider_says_of_an_error_may_quote_a_prompt_and_is_sealed_too(sealing, line, settings):
    claimed = line.run(text="other")
    said = f"bad request: {ASKED}"
    failed = {"state": AttemptState.FAILED, "transition": FAIL, "error_code": "bad_request", "error_message": said}
    settle([Ended(job=claimed.job, attempt=claimed.attempt, usage=Usage(), nano_usd=0, **failed)])
    job = Job.objects.get(pk=claimed.job)
    assert ASKED not in dump()
    assert (job.error_message, job.attempts.get().error_message) == (said, said)
    assert job.fingerprint == fingerprint_of("bad_request", said)
    api = Api(issue_key(line.acme, "t")[1])
    assert api.get(f"/api/v1/jobs/{job.pk}").json()["error"] == {"code": "bad_request", "message": said}
    settings.RATEGUARD = {**settings.RATEGUARD, "ENCRYPTION_KEYS": [NEW]}
    assert "a key that is not there" in api.get(f"/api/v1/jobs/{job.pk}").json()["error"]["message"]


def test_what_hangs_on_a_job_is_sealed_with_it_for_the_next_requests_stand_in_it(sealing, line):
    canvas = {"link": [{"task": "rateguard.complete", "args": [ASKED]}]}
    job = line.submit(canvas=canvas, run_at=timezone.now() + dt.timedelta(hours=1))
    assert ASKED not in dump()
    assert Job.objects.get(pk=job.pk).canvas == canvas
    assert Job.objects.filter(canvas__isnull=False).count() == 1
    Job.objects.filter(pk=job.pk).update(canvas=None)
    assert Job.objects.filter(canvas__isnull=True).count() == 1


def answer_in(api, job):
    return api.get(f"/api/v1/jobs/{job.pk}").json()["result"]["choices"][0]["message"]["content"]


def test_bodies_of_both_kinds_are_read_whenever_the_setting_changes(line, settings):
    plain = line.submit(text=ASKED)
    settings.RATEGUARD = {**settings.RATEGUARD, "ENCRYPT_BODIES": True}
    sealed = line.submit(text=ASKED)
    settings.RATEGUARD = {**settings.RATEGUARD, "ENCRYPT_BODIES": False}
    assert [is_sealed(held(job)[0]) for job in (plain, sealed)] == [False, True]
    assert all(ASKED in Job.objects.get(pk=job.pk).request for job in (plain, sealed))
    assert all(ASKED in text for text in Job.objects.values_list("request", flat=True))


def test_sealing_a_body_of_two_kilobytes_takes_less_than_fifty_microseconds(sealing):
    text = "x" * 2_048
    sealed = seal(text)
    assert min(timed(lambda: seal(text)) for _ in range(20)) < 50e-6
    assert min(timed(lambda: opened(sealed)) for _ in range(20)) < 50e-6


def timed(call):
    """Seconds of one call, on this thread's processor time."""
    began = time.thread_time()
    for _ in range(100):
        call()
    return (time.thread_time() - began) / 100


def test_rotation_makes_the_old_key_needless_and_seals_what_was_plain(line, settings, capsys):
    plain = line.submit(text=ASKED)
    settings.RATEGUARD = {**settings.RATEGUARD, "ENCRYPT_BODIES": True}
    sealed = line.submit(text=ASKED)
    settings.RATEGUARD = {**settings.RATEGUARD, "ENCRYPTION_KEYS": [NEW, *conf().encryption_keys]}
    call_command("rotate_secrets")
    settings.RATEGUARD = {**settings.RATEGUARD, "ENCRYPTION_KEYS": [NEW]}
    for job in (plain, sealed):
        assert is_sealed(held(job)[0])
        assert ASKED in Job.objects.get(pk=job.pk).request


def test_a_job_whose_key_is_gone_can_be_listed_and_loses_nothing(sealing, line, settings):
    job = line.submit(text=ASKED)
    as_it_was = held(job)
    settings.RATEGUARD = {**settings.RATEGUARD, "ENCRYPTION_KEYS": [NEW]}
    found = Job.objects.get(pk=job.pk)
    with pytest.raises(SecretUnreadable):
        opened(found.request)
    found.save()
    assert held(job) == as_it_was
    with pytest.raises(CommandError, match=str(job.pk)):
        call_command("rotate_secrets")


# ---- removed


@pytest.fixture
def ended(line):
    """Makes jobs that ended so many days ago."""

    def ended(days, state=State.FAILED, tenant=None, **columns):
        job = line.submit(tenant, text=ASKED)
        at = timezone.now() - dt.timedelta(days=days)
        Job.objects.filter(pk=job.pk).update(**{"state": state, "finished_at": at, "result": "{}", **columns})
        return job

    return ended


def test_bodies_go_when_their_tenants_days_are_over_and_what_was_told_of_them_goes_with_them(line, ended, settings):
    settings.RATEGUARD = {**settings.RATEGUARD, "KEEP_BODIES_DAYS": 30}
    of_three_days = line.tenant("three-days")
    type(of_three_days).objects.filter(pk=of_three_days.pk).update(keep_bodies_days=3)
    said = {"error_code": "bad_request", "error_message": ASKED}
    young, old, soon, waits = ended(29, **said), ended(31, **said), ended(4, tenant=of_three_days), line.submit(text=ASKED)
    reserved = dict.fromkeys(("reserved_input_tokens", "reserved_output_tokens", "reserved_max_output_tokens", "reserved_nano_usd"), 0)
    tried = {"job": old, "number": 1, "reservation_id": old.pk, "tenant": line.acme, "state": "failed", "deployment_id": 1}
    Attempt.objects.create(**tried, **reserved, error_message=ASKED, finished_at=timezone.now())
    endpoint = WebhookEndpoint.objects.create(tenant=line.acme, name="e", url="https://example.com", secret="whsec_x")
    for state in ("delivered", "pending"):
        WebhookMessage.objects.create(tenant=line.acme, endpoint=endpoint, job=old, kind="job.failed", body=ASKED, state=state)
    caretaker = Caretaker(line.gate, process_pump(), "w1", 0.02)
    assert caretaker._has_lease()
    caretaker.round()
    gone = Job.objects.filter(request="", result=None, purged_at__isnull=False)
    assert set(gone.values_list("pk", flat=True)) == {old.pk, soon.pk}
    assert all(ASKED in Job.objects.get(pk=job.pk).request for job in (young, waits))
    assert set(WebhookMessage.objects.values_list("body", "state")) == {("", "delivered"), ("", "dead")}
    assert set(gone.values_list("error_code", "error_message")) == {("bad_request", ""), ("", "")}
    assert (Job.objects.get(pk=young.pk).error_message, Attempt.objects.get().error_message) == (ASKED, "")
    assert Purge().go_on() == 0


def test_a_purge_goes_on_where_a_round_ended(line, ended, monkeypatch):
    line.acme.keep_bodies_days = 1
    line.acme.save()
    for _ in range(3):
        ended(2)
    monkeypatch.setattr("rateguard.jobs.upkeep.purging.ROUND_S", -1)
    monkeypatch.setattr("rateguard.jobs.upkeep.purging.PAGE", 2)
    purge = Purge()
    assert [purge.go_on() for _ in range(3)] == [2, 1, 0]


def test_what_is_gone_is_told_and_not_tried_again(line, ended):
    job = ended(2, purged_at=timezone.now(), request="", result=None)
    api = Api(issue_key(line.acme, "t")[1])
    refused = api.post(f"/api/v1/jobs/{job.pk}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_stored")
    assert "submit a new one" in refused.json()["detail"]
    assert api.get(f"/api/v1/jobs/{job.pk}").json()["purged_at"]
    assert state_of(job) == State.FAILED


# ---- never kept


def test_what_is_not_to_be_stored_leaves_nothing_but_the_books(line, station):
    job = line.submit(text=ASKED, store=False)
    assert ASKED in held(job)[0]
    assert wait_for(lambda: has_ended(job))
    assert state_of(job) == State.SUCCEEDED
    assert held(job) == ("", None)
    assert answer_in(Api(issue_key(line.acme, "t")[1]), job)  # for who waited, while its events are kept
    everything = dump()
    assert ASKED not in everything
    assert "chat.completion" not in everything
    assert LedgerEntry.objects.get(reservation_id=job.pk).nano_usd > 0
    assert_books_close()
    with pytest.raises(InvalidRequest) as caught:
        retry(ended_badly(job))
    assert caught.value.code == "not_stored"


def ended_badly(job):
    Job.objects.filter(pk=job.pk).update(state=State.FAILED)
    return job
