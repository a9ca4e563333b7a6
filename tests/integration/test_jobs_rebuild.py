"""A gate that lost its data is rebuilt from the rows: nothing is lost, and no limit or budget is exceeded by it."""

import datetime as dt
import threading
import time
import uuid

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from rateguard.engine.errors import GateEpochLost, LimitInTheWay
from rateguard.engine.gate.contract import ReservationId, Sent, Step
from rateguard.engine.money import Usage
from rateguard.jobs.attempts.settle import Ended, settle
from rateguard.jobs.controls.runs import start_run
from rateguard.jobs.ids import new_id
from rateguard.jobs.intake.building import build
from rateguard.jobs.intake.insert import insert
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.line.waiting import running_attempts
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import FAIL, SUCCEED, AttemptState, State
from rateguard.jobs.upkeep import rebuild
from tenants.keys import issue_key
from tenants.models import Budget, GateEpoch, LedgerEntry, Limit, Run, Scope
from tests.line import HOUR_MS, state_of

MINUTE_MS = 60_000


def end(claimed, *, input_tokens=5, output_tokens=7, **fields):
    told = {"state": AttemptState.SUCCEEDED, "transition": SUCCEED, "nano_usd": 5_000}
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    settle([Ended(job=claimed.job, attempt=claimed.attempt, usage=usage, latency_ms=10, **{**told, **fields})])


@pytest.fixture
def lose(line):
    """The server loses everything; then the gate is rebuilt."""

    def lose():
        line.settled()
        line.redis.flushall()
        assert rebuild.is_lost(line.gate)
        rebuild.rebuild(line.gate)
        assert not rebuild.is_lost(line.gate)

    return lose


def test_waiting_rows_wait_again_in_their_order(line, lose):
    jobs = line.submit_many(5)
    for number, job in enumerate(jobs):
        Job.objects.filter(pk=job.pk).update(queued_at=job.queued_at + dt.timedelta(milliseconds=number))
    lose()
    assert line.gate.inspect().waiting == 5
    line.beat()
    assert [entry[0] for entry in line.next_message()[0]] == [job.pk.hex for job in jobs]


def test_a_window_keeps_what_ended_attempts_used_of_it(line, lose):
    ours, requests = line.limit("tokens", 1_000, MINUTE_MS), line.limit("requests", 10, MINUTE_MS)
    theirs = line.account_limit("tokens", 1_000, MINUTE_MS)
    claimed = line.run()
    end(claimed)
    lose()
    assert (line.used(ours).used, line.used(requests).used) == (12, 1)
    assert line.used(theirs).used == claimed.input_tokens + claimed.max_output_tokens


def test_a_window_forgets_what_has_left_it(line, lose):
    limit = line.limit("requests", 10, MINUTE_MS)
    end(line.run())
    lose()
    assert line.used(limit).used == 1
    line.clock.ahead_ms += 62_000
    line.submit()
    line.settled()
    assert line.used(limit).used == 0


def test_budgets_come_back_from_the_ledger(line, lose):
    other = line.tenant("other")
    mine, theirs = line.budget(10**9), line.budget(10**9, other)
    end(line.run(), nano_usd=700)
    end(line.run(), nano_usd=0, state=AttemptState.FAILED, transition=FAIL)
    end(line.run(tenant=other), nano_usd=30)
    lose()
    assert [(line.used(one).used, line.used(one).reserved) for one in (mine, theirs)] == [(700, 0), (30, 0)]


def test_running_rows_have_their_reservations_again(line, lose):
    budget, places = line.budget(10**9), line.limit("concurrency", 3, 0)
    theirs = line.account_limit("tokens", 1_000, MINUTE_MS)
    claimed = line.run()
    lose()
    held = line.gate.held(0, 10)[1]
    assert [(one.reservation, one.holder) for one in held] == [(ReservationId(claimed.job, 1), "w1")]
    assert (line.used(budget).used, line.used(budget).reserved, line.used(places).used) == (claimed.cost, claimed.cost, 1)
    assert line.used(theirs).used == claimed.input_tokens + claimed.max_output_tokens


def test_a_rebuilt_reservation_settles_as_if_nothing_had_happened(line, lose):
    budget = line.budget(10**9)
    claimed = line.run()
    lose()
    line.end_in_gate(claimed, nano_usd=900)
    assert (line.used(budget).used, line.used(budget).reserved, line.gate.inspect().reservations) == (900, 0, 0)


def test_a_call_that_ends_while_the_gate_is_rebuilt_is_counted_once(line, lose, monkeypatch):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite lets nobody else write meanwhile")
    budget, requests = line.budget(10**9), line.limit("requests", 10, MINUTE_MS)
    claimed = line.run()

    def end_in_between():
        elsewhere = threading.Thread(target=lambda: (end(claimed, nano_usd=900), connection.close()))
        elsewhere.start()
        elsewhere.join(10)
        return running_attempts()

    monkeypatch.setattr(rebuild, "running_attempts", end_in_between)
    lose()
    assert state_of(claimed.job) == State.SUCCEEDED
    line.end_in_gate(claimed, nano_usd=900)
    assert (line.used(budget).used, line.used(budget).reserved, line.used(requests).used) == (900, 0, 1)


def test_a_holder_that_died_with_the_data_is_found_dead_afterwards(line, lose):
    claimed = line.run()
    lose()
    line.pass_time(14_000)
    assert {(one.reservation.job, one.is_alive) for one in line.gate.suspects(10)} == {(claimed.job, False)}


def test_a_claim_under_the_old_epoch_takes_nothing_and_the_job_is_granted_anew(line, lose):
    job = line.submit()
    line.beat()
    old = line.next_message()
    lose()
    assert line.claim(old) == []
    line.beat()
    (claimed,) = line.claim(line.next_message())
    assert (claimed.job, state_of(job), Attempt.objects.count()) == (job.pk, State.RUNNING, 1)


def test_a_claim_that_came_before_the_rebuild_is_counted_by_it(line, lose):
    limit = line.limit("requests", 1)
    first = line.run()
    second = line.submit()
    lose()
    line.beat()
    line.settled()
    assert (line.messages.empty(), state_of(second), line.used(limit).used) == (True, State.QUEUED, 1)
    assert state_of(first.job) == State.RUNNING


def test_a_budget_that_was_spent_is_spent_after_the_rebuild(line, lose):
    line.budget(14_000)
    end(line.run(), nano_usd=13_000)
    lose()
    line.beat()
    with pytest.raises(LimitInTheWay):
        line.submit()
    job = build(line.submission())
    insert([job])  # as if it had been taken before all was spent
    line.settled()
    assert state_of(job) == State.FAILED
    assert LedgerEntry.objects.count() == 1


def test_an_emptied_gate_decides_nothing_until_it_is_rebuilt(line):
    line.redis.flushall()
    with pytest.raises(GateEpochLost):
        line.gate.step(Step(uuid.uuid4().hex, 1, want=10))
    assert line.gate.epoch() is None


def test_a_gate_of_an_older_epoch_is_lost(line):
    """An old copy of the data came back (a replica that was behind, a restored file)."""
    GateEpoch.increase()
    assert rebuild.is_lost(line.gate)


def test_of_two_who_rebuild_the_second_finds_it_done(line, lose):
    lose()
    epoch = GateEpoch.current()
    rebuild.rebuild(line.gate)
    assert (GateEpoch.current(), line.gate.epoch()) == (epoch, epoch)


def test_what_was_said_while_the_gate_was_lost_is_said_afterwards(line):
    line.redis.flushall()
    job = line.submit()
    rebuild.rebuild(line.gate)
    line.settled()
    assert line.gate.inspect().waiting == 1
    line.beat()
    assert line.claim(line.next_message())[0].job == job.pk


def test_a_lost_report_of_sending_and_a_doubled_one_change_nothing_after_a_rebuild(line, lose):
    limit = line.limit("requests", 5)
    claimed = line.run()
    lose()
    for _ in range(2):
        process_pump().sent(Sent(ReservationId(claimed.job, 1), "w1", 0), 0.0)
        process_pump().kick()
        line.settled()
    assert (line.used(limit).used, line.gate.inspect().reservations) == (1, 1)


# ---- every node of a path


def scope(line, kind, name=""):
    return Scope.objects.get_or_create(kind=kind, tenant=line.acme, name=name)[0]


def test_limits_of_every_node_come_back_and_those_of_others_stay_empty(line, lose):
    names = {"team": "ml", "rolegroup": "staff", "role": "lead", "user": "a|b", "key": str(issue_key(line.acme, "k")[0].pk)}
    mine = [Limit.objects.create(scope=scope(line, *node), metric="tokens", amount=1_000, window_ms=MINUTE_MS) for node in names.items()]
    others = [
        Limit.objects.create(scope=scope(line, kind, "x" if kind != "key" else "99"), metric="tokens", amount=1_000, window_ms=MINUTE_MS)
        for kind in names
    ]
    end(line.run(team="ml", rolegroup="staff", role="lead", user="a|b", api_key_id=int(names["key"])))
    lose()
    assert [line.used(limit).used for limit in mine] == [12] * 5
    assert [line.used(limit).used for limit in others] == [0] * 5


def test_what_a_node_has_by_a_default_comes_back_as_its_own(line, lose):
    every = scope(line, "user", "*")
    window = Limit.objects.create(scope=every, metric="requests", amount=10, window_ms=MINUTE_MS)
    budget = Budget.objects.create(scope=every, amount=10**9, period="day")
    for user in ("ada", "ada", "bob"):
        end(line.run(user=user), nano_usd=700)
    lose()
    ids = [f"{letter}{row.pk}@user:{user}" for letter, row in (("l", window), ("b", budget)) for user in ("ada", "bob")]
    used = {use.id: use.used for use in line.gate.inspect(tuple(ids)).limits}
    assert [used[one] for one in ids] == [2, 1, 1_400, 700]


def test_a_budget_comes_back_with_what_was_booked_since_its_period_began(line, lose):
    tenant = scope(line, "tenant")
    day = Budget.objects.create(scope=tenant, amount=10**9, period="day")
    tokens = Budget.objects.create(scope=tenant, amount=10**9, period="month", unit="tokens")
    total = Budget.objects.create(scope=tenant, amount=10**9)
    end(line.run(), nano_usd=700)
    past = LedgerEntry.objects.get()
    rows = [
        LedgerEntry(tenant=line.acme, reservation_id=uuid.uuid4(), attempt=1, kind="charge", nano_usd=30, output_tokens=5, created_at=at)
        for at in (past.created_at - dt.timedelta(days=32), past.created_at)
    ]
    LedgerEntry.objects.bulk_create(rows)
    lose()
    assert [line.used(one).used for one in (day, tokens, total)] == [730, 12 + 5, 760]


def test_a_bucket_comes_back_at_most_as_full_as_it_was(line, lose):
    bucket = Limit.objects.create(scope=scope(line, "tenant"), metric="requests", kind="bucket", amount=60, window_ms=HOUR_MS)
    for _ in range(5):
        end(line.run())
    before = line.used(bucket).used
    lose()
    assert before <= line.used(bucket).used <= before + 1


def test_the_bounds_of_a_run_come_back_with_what_runs_inside_it_took(line, lose):
    outer = start_run(line.acme, budget_nano_usd=10**9, max_calls=10)
    inner = start_run(line.acme, parent=outer.pk, budget_nano_usd=10**9)
    end(line.run(run=outer.pk), nano_usd=700)
    end(line.run(run=inner.pk), nano_usd=30)
    running = line.run(run=inner.pk)
    ids = (f"rb{outer.pk.hex}", f"rc{outer.pk.hex}", f"rb{inner.pk.hex}")
    lose()
    used = {use.id: use.used for use in line.gate.inspect(ids).limits}
    assert [used[one] for one in ids] == [730 + running.cost, 3, 30 + running.cost]


def test_a_stopped_run_stays_stopped(line, lose):
    run = start_run(line.acme)
    job = line.submit(run=run.pk)
    Run.objects.filter(pk=run.pk).update(state="stopped", stopped_at=Now())
    lose()
    line.beat()
    line.settled()
    assert (line.messages.empty(), state_of(job)) == (True, State.QUEUED)


def test_a_call_that_never_left_counts_in_no_window(line, lose):
    limit = line.limit("requests", 10, MINUTE_MS)
    end(line.run(), state=AttemptState.FAILED, transition=FAIL, nano_usd=0, error_code="connect")
    lose()
    assert line.used(limit).used == 0


def test_a_long_window_is_summed_by_slices_and_never_forgets_too_early(line, lose):
    """A day's window has slices of six minutes: what is summed counts from the latest of its slice."""
    limit = line.limit("requests", 100, 24 * HOUR_MS)
    for minutes in (1, 3, 60, 23 * 60, 25 * 60):
        end(line.run())
        sent_at = Now() - dt.timedelta(minutes=minutes)
        Attempt.objects.filter(state=AttemptState.SUCCEEDED, error_code="").update(
            finished_at=sent_at, started_at=sent_at, error_code="old"
        )
    lose()
    assert line.used(limit).used == 4
    line.clock.ahead_ms += HOUR_MS
    line.settled()
    line.submit()
    line.settled()
    assert line.used(limit).used == 4
    line.clock.ahead_ms += 12 * 60_000
    line.submit()
    line.settled()
    assert line.used(limit).used == 3


def test_deadlines_come_back(line, lose):
    late = line.submit(user="ada")
    soon = line.submit(user="ada", deadline=timezone.now() + dt.timedelta(hours=1))
    lose()
    line.beat()
    assert [entry[0] for entry in line.next_message()[0]] == [soon.pk.hex, late.pk.hex]


# ---- large


@pytest.mark.long
@pytest.mark.timeout(400)
def test_100_000_waiting_rows_are_back_within_ten_seconds(line):
    """With 20,000 paths under default limits, and 100,000 attempts of the last hour that count in them."""
    every = scope(line, "user", "*")
    Limit.objects.create(scope=every, metric="tokens", amount=10**6, window_ms=HOUR_MS)
    Budget.objects.create(scope=every, amount=10**9, period="day")
    job = line.submit(user="u0")
    line.settled()
    rows = copies_of(job, 100_000)
    Job.objects.bulk_create(rows, batch_size=2_000)
    ended = [copied(row, state=State.SUCCEEDED, finished_at=row.queued_at) for row in rows]
    Job.objects.bulk_create(ended, batch_size=2_000)
    Attempt.objects.bulk_create([attempt_of(line, row) for row in ended], batch_size=2_000)
    LedgerEntry.objects.bulk_create([entry_of(row) for row in ended], batch_size=2_000)
    line.redis.flushall()
    began = time.monotonic()
    rebuild.rebuild(line.gate)
    took_s = time.monotonic() - began
    assert line.gate.inspect(()).waiting == 100_001
    use = line.gate.inspect((f"l{Limit.objects.get().pk}@user:u1",)).limits[0]
    assert use.used == 12 * 5
    assert took_s <= 10, took_s


def copies_of(job, count):
    return [copied(job, user=f"u{number % 20_000}", path=f"{job.tenant_id}|user:u{number % 20_000}") for number in range(count)]


def copied(job, **fields):
    values = {field.attname: getattr(job, field.attname) for field in Job._meta.concrete_fields}
    return Job(**{**values, "id": new_id(), **fields})


def attempt_of(line, job):
    return Attempt(
        reservation_id=job.pk,
        number=1,
        job=job,
        tenant=line.acme,
        state=AttemptState.SUCCEEDED,
        model=job.model,
        deployment_id=line.deployment.pk,
        deployment=line.deployment.name,
        holder="w1",
        reserved_input_tokens=5,
        reserved_output_tokens=7,
        reserved_max_output_tokens=20,
        reserved_nano_usd=5_000,
        finished_at=job.queued_at,
        latency_ms=10,
        input_tokens=5,
        output_tokens=7,
        nano_usd=5_000,
    )


def entry_of(job):
    return LedgerEntry(
        tenant_id=job.tenant_id, job_id=job.pk, reservation_id=job.pk, attempt=1, kind="charge", nano_usd=5_000, user=job.user
    )
