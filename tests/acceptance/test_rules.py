"""The nine rules of the design, each held once end to end by a small real run; the tests of the parts hold them in depth.

1 nothing is lost · 2 one charge an attempt · 3 budgets · 4 windows · 5 the provider's limit and its 429 · 6 tenants apart ·
7 what is over stays over · 8 publishing never blocks · 9 secrets stay secret
"""

import threading
import time

import pytest
import redis
from django.db import connection
from django.db.models import Sum

from rateguard import wiring
from rateguard.engine.gate import redis as redis_gate
from rateguard.engine.providers.sim.faults import Fault, FaultKind, RetryAfterForm
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.models import Attempt, Job, JobEvent
from rateguard.jobs.states import State
from tenants.models import LedgerEntry, ProviderAccount, UsageQuarter
from tests.line import CREDENTIALS, all_ended, assert_books_close, has_ended, state_of, states, wait_for

CANARY = "canary-prompt-51c0ffee"


def bill_of(line):
    return {one.attempt_id: one.nano_usd for one in line.provider.control.bill()}


@pytest.mark.long
def test_1_an_accepted_job_ends_though_its_worker_and_its_redis_die(live):
    line = live.line
    haste = {"RATEGUARD_HEARTBEAT_MS": "300", "RATEGUARD_DEAD_AFTER_MS": "2000"}
    line.provider.control.configure(latency={"base_ms": 60_000})
    line.submit_many(50)
    victim = live.start_worker(**haste)
    wait_for(lambda: len(line.provider.control.log()) == 50, 30)
    line.provider.control.configure(latency={})
    victim.kill()
    line.redis.flushall()
    line.submit_many(10)
    live.start_worker(**haste)
    wait_for(lambda: states() == {State.SUCCEEDED: 60}, 40)
    assert_books_close()


def test_2_each_attempt_has_one_charge_and_the_sums_agree_with_the_bill(line, station):
    others = [line.tenant(name) for name in ("blue", "red")]
    line.provider.control.add_faults(
        Fault(FaultKind.SERVER_ERROR, count=3, skip=2), Fault(FaultKind.RATE_LIMITED, retry_after=RetryAfterForm.ZERO)
    )
    for number in range(30):
        line.submit([line.acme, *others][number % 3], text=f"hello {number}")
    wait_for(lambda: all_ended() and Job.objects.count() == 30, 20)
    entries = {f"{entry.reservation_id}.{entry.attempt}": entry.nano_usd for entry in LedgerEntry.objects.all()}
    assert len(entries) == LedgerEntry.objects.count() == Attempt.objects.count() == 34
    assert {name: cost for name, cost in entries.items() if cost} == bill_of(line)
    for tenant in (line.acme, *others):
        sums = [table.objects.filter(tenant=tenant).aggregate(sum=Sum("nano_usd"))["sum"] for table in (LedgerEntry, UsageQuarter, Job)]
        assert len(set(sums)) == 1
    assert_books_close()


def test_3_spent_and_reserved_never_exceed_a_budget(line, station):
    line.provider.control.configure(latency={"base_ms": 30, "jitter": 1.0})
    budget = line.budget(100_000)
    most = []
    line.submit_many(40)

    def has_settled():
        use = line.used(budget)
        most.append(use.used)
        return all_ended() and use.reserved == 0

    wait_for(has_settled, 20)
    assert 0 < max(most) <= 100_000
    assert line.used(budget).used == sum(LedgerEntry.objects.values_list("nano_usd", flat=True)) == sum(bill_of(line).values())
    assert states()[State.SUCCEEDED] >= 7
    assert set(Job.objects.filter(state=State.FAILED).values_list("error_code", flat=True)) == {"budget_exhausted"}


def test_4_no_window_is_exceeded_where_requests_arrive(line, station):
    line.account_limit("requests", 20, 1_000)
    line.submit_many(50)
    wait_for(all_ended, 20)
    arrivals = [one.arrived_ms for one in line.provider.control.log() if one.is_accepted]
    assert len(arrivals) == 50
    assert all(later - earlier > 1_000 for earlier, later in zip(arrivals, arrivals[20:], strict=False))


def test_5_a_429_cools_what_it_names_costs_no_try_and_no_second_one_comes(line, station):
    line.provider.control.add_faults(Fault(FaultKind.RATE_LIMITED, retry_after=RetryAfterForm.MILLISECONDS, wait_ms=500))
    first = line.submit(max_tries=1)
    wait_for(lambda: line.gate.inspect().cooling)
    line.submit_many(10)
    wait_for(all_ended, 20)
    refused, *accepted = line.provider.control.log()
    assert (refused.status, {one.status for one in accepted}) == (429, {200})
    assert min(one.arrived_ms for one in accepted) - refused.arrived_ms >= 500
    assert Job.objects.get(pk=first.pk).tries == 0
    assert states() == {State.SUCCEEDED: 11}


def test_6_no_tenant_is_held_up_charged_or_served_by_anothers_means(line, station):
    rival = line.tenant("rival")
    line.limit("requests", 1)
    mine = [line.submit(text=CANARY) for _ in range(3)]
    theirs = [line.submit(rival) for _ in range(3)]
    wait_for(lambda: all(has_ended(job) for job in theirs) and any(has_ended(job) for job in mine))
    assert sorted(state_of(job) for job in mine) == ["queued", "queued", "succeeded"]
    for tenant, ended in ((line.acme, 1), (rival, 3)):
        spent = sum(LedgerEntry.objects.filter(tenant=tenant).values_list("nano_usd", flat=True))
        assert UsageQuarter.objects.get(tenant=tenant).nano_usd == spent
        assert LedgerEntry.objects.filter(tenant=tenant).count() == ended
        assert set(Attempt.objects.filter(tenant=tenant).values_list("job__tenant", flat=True)) == {tenant.pk}
    own = ProviderAccount.objects.create(
        name="own", provider="sim", base_url=line.provider.base_url, credentials="sk-rivals-own", tenant=rival
    )
    line.deployment.account = own
    line.deployment.save()
    assert wiring.directory().places_for("sim-1", line.acme.pk) == ()


def test_7_what_is_over_stays_over(line, station):
    job = line.submit()
    wait_for(lambda: has_ended(job))
    wait_for(lambda: line.gate.inspect().reservations == 0)
    before = [list(table.objects.order_by("pk").values()) for table in (Job, Attempt, JobEvent, LedgerEntry)]
    for message in list(station.heard.queue) * 2:
        station.receive(message)
    cancel(job)
    line.pass_time(15_000)
    other = line.submit()
    wait_for(lambda: has_ended(other))
    after = [list(table.objects.order_by("pk").values()) for table in (Job, Attempt, JobEvent, LedgerEntry)]
    for old, new in zip(before, after, strict=True):
        assert [row for row in new if row in old] == old


def test_8_submitting_neither_blocks_nor_fails_while_redis_is_away(line, monkeypatch):
    def away(*_args, **_kwargs):
        raise redis.ConnectionError("away")

    line.submit()  # the process's line is open
    line.settled()
    with monkeypatch.context() as patch:
        patch.setattr(line.gate._client, "evalsha", away)
        began = time.monotonic()
        jobs = [line.submit() for _ in range(20)]
        assert (time.monotonic() - began) / 20 < 0.25
        assert {state_of(job) for job in jobs} == {State.QUEUED}
    line.settled()
    assert line.gate.inspect().waiting == 21


def test_8_a_submission_makes_no_round_trip_to_redis_itself(line, monkeypatch):
    callers = []
    run = redis_gate.RedisGate._run

    def noted(gate, *args):
        callers.append(threading.current_thread())
        return run(gate, *args)

    monkeypatch.setattr(redis_gate.RedisGate, "_run", noted)
    line.submit()
    line.settled()
    assert callers
    assert threading.current_thread() not in callers


def everything_that_people_read(line):
    """Rows that are shown, and representations."""
    for job in Job.objects.all():
        yield from (repr(job), str(job), job.error_code, job.error_message)
    for table in (JobEvent, Attempt, LedgerEntry):
        for row in table.objects.all():
            yield from (repr(row), *map(repr, [value for name, value in vars(row).items() if not name.startswith("_")]))
    account = ProviderAccount.objects.get(name="sim")
    yield from (repr(account), str(account), repr(account.credentials), str(account.credentials), repr(wiring.directory()))


@pytest.mark.long
def test_9_no_secret_and_no_prompt_is_in_a_log_an_error_an_event_or_a_repr(live):
    line = live.line
    line.provider.control.configure(keys=["sk-another-key"])  # the first answers quote the key that they refuse
    worker = live.worker(RATEGUARD_LOG_LEVEL="DEBUG", RATEGUARD_AUTH_COOLDOWN_S="0")
    refused = line.submit(text=CANARY)
    wait_for(lambda: has_ended(refused), 20)
    line.provider.control.configure(keys=[])
    line.provider.control.add_faults(
        *(Fault(kind) for kind in (FaultKind.SERVER_ERROR, FaultKind.MALFORMED, FaultKind.RESET, FaultKind.RATE_LIMITED, FaultKind.HTML))
    )
    jobs = [line.submit(text=CANARY, user="ada") for _ in range(8)]
    wait_for(lambda: all(has_ended(job) for job in jobs), 30)
    assert worker.end() == 0

    with connection.cursor() as cursor:
        cursor.execute("select credentials from rateguard_tenants_provideraccount")
        stored = [str(row) for row in cursor.fetchall()]
    texts = [worker.log.read_text(), *everything_that_people_read(line), *stored]
    assert Job.objects.get(pk=refused.pk).error_code == "auth"
    assert len(texts[0].splitlines()) > 10
    for text in texts:
        assert CREDENTIALS not in text
        assert CANARY not in text
