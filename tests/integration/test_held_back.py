"""What is in the way of waiting jobs: which limit, how many jobs, and what the caretaker keeps of it."""

import datetime as dt

import pytest
from django.utils import timezone

from rateguard import wiring
from rateguard.engine.gate.contract import Cooldown, ReservationId, Settlement
from rateguard.engine.lanes import Lane
from rateguard.jobs.controls.pauses import pause
from rateguard.jobs.insight import heldlook, heldrows
from rateguard.jobs.insight.heldback import held_back
from rateguard.jobs.insight.heldlook import Known, look
from rateguard.jobs.insight.heldrows import running_by_holder, waiting_groups
from rateguard.jobs.insight.heldwords import in_the_way
from rateguard.jobs.insight.hindrances import hindrances_of, last_seen
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Hindrance
from rateguard.jobs.upkeep.hindrances import delete_old_hindrances, note_hindrances
from tenants.models import Budget, Limit, Scope
from tests.line import HOUR_MS, MODEL, wait_for


def found_now(line):
    line.settled()
    groups = waiting_groups()
    return held_back(groups, look(groups, list(wiring.directory().places.values()), Known(running_by_holder())))


def words(line):
    return {in_the_way(one.kind, one.scope_kind, one.scope, one.text): one.jobs for one in found_now(line)}


def grant_all(line):
    """What there is room for runs."""
    line.beat()
    line.settled()
    while not line.messages.empty():
        line.claim(line.messages.get())


class TestWhatIsInTheWay:
    def test_jobs_wait_for_a_worker_where_none_lives(self, line):
        line.submit_many(3)
        assert words(line) == {"a worker to be started": 3}

    def test_jobs_wait_for_a_slot_where_all_are_taken(self, line):
        line.submit_many(103)
        grant_all(line)
        assert words(line) == {"a free slot at a worker": 3}

    def test_each_limit_is_named_with_the_jobs_it_holds_back(self, line):
        line.account_limit("requests", 4, is_enforced=False)
        ada = Scope.objects.create(tenant=line.acme, kind="user", name="ada")
        Limit.objects.create(scope=ada, metric="requests", amount=1, window_ms=24 * HOUR_MS)
        other = line.tenant("globex")
        Budget.objects.create(scope=Scope.objects.get(tenant=other), amount=20_000, on_exhausted="hold")
        line.submit_many(3, user="ada")
        line.submit_many(3, other)
        grant_all(line)
        line.submit_many(4)
        grant_all(line)
        assert words(line) == {
            "4 requests/h on account sim": 2,
            "1 requests/day on user ada": 2,
            "$0.00002 in total hold on tenant globex": 2,
        }
        kinds = {one.scope_kind: (one.share > 0.6, one.is_shared, one.node) for one in found_now(line)}
        assert kinds == {"account": (True, True, ""), "user": (True, False, "user:ada"), "tenant": (True, False, "")}

    def test_a_pause_a_cooldown_and_a_breaker_are_named(self, line):
        line.submit()
        line.beat()
        claimed = line.claim(line.next_message())[0]
        end = Settlement(ReservationId(claimed.job, claimed.attempt), used=True, cooldown=Cooldown(f"d{line.deployment.pk}", 60_000))
        process_pump().settle([(end, None)])
        line.settled()
        line.submit_many(2)
        (one,) = found_now(line)
        assert (one.kind, one.scope, 0 < one.opens_ms <= 60_000) == ("cooldown", "sim-1", True)
        pause("lane", "normal")
        assert words(line) == {"the end of the pause of lane normal": 2}
        pause("model", MODEL)
        assert set(words(line)) <= {"the end of the pause of lane normal", f"the end of the pause of model {MODEL}"}

    def test_what_is_shared_is_found_once_for_all_and_what_is_ones_own_is_not(self, line, monkeypatch):
        monkeypatch.setattr(heldlook, "MOST_PATHS", 2)
        line.account_limit("requests", 1, is_enforced=False)
        for user in ("ada", "bob", "cyd", "dan"):
            line.submit(user=user)
        grant_all(line)
        assert words(line) == {"1 requests/h on account sim": 3}

    def test_of_a_long_line_the_oldest_are_looked_at(self, line, monkeypatch):
        monkeypatch.setattr(heldrows, "OLDEST", 3)
        line.submit_many(5)
        groups = waiting_groups()
        assert (groups.jobs, groups.is_all) == (3, False)
        assert waiting_groups([line.acme.pk]).jobs == 3
        assert waiting_groups([line.tenant("globex").pk]).jobs == 0


class TestHistory:
    def test_an_episode_lasts_while_the_same_thing_holds(self, line):
        line.account_limit("requests", 1, is_enforced=False)
        line.submit()
        grant_all(line)
        job = line.submit()
        line.settled()
        note_hindrances(line.gate)
        line.submit_many(2)
        line.settled()
        note_hindrances(line.gate)
        row = Hindrance.objects.get()
        assert (row.text, row.jobs, row.most_jobs, row.lane, row.tenant_id) == ("1 requests/h", 3, 3, Lane.NORMAL, None)
        (waited,) = hindrances_of(job, sees_all=True)
        assert (waited.words, waited.is_now) == ("1 requests/h on account sim", True)
        (told,) = hindrances_of(job, sees_all=False)
        assert told.words == "a limit on account sim"
        Hindrance.objects.update(seen_at=timezone.now() - dt.timedelta(minutes=1))
        note_hindrances(line.gate)
        assert Hindrance.objects.count() == 2

    def test_a_job_waited_for_nothing_of_others(self, line):
        now = timezone.now()
        ada, other = line.submit(user="ada"), line.submit(line.tenant("globex"), user="ada")
        common = {"model": MODEL, "lane": Lane.NORMAL, "kind": "limit", "scope_kind": "user", "scope": "ada"}
        Hindrance.objects.create(**common, tenant=line.acme, node="user:ada", text="mine")
        Hindrance.objects.create(**common, tenant=line.acme, node="user:bob", text="another user's")
        Hindrance.objects.create(**{**common, "lane": Lane.LOW}, text="another lane's")
        Hindrance.objects.create(**common, began_at=now - dt.timedelta(hours=2), seen_at=now - dt.timedelta(hours=1), text="before")
        assert [one.text for one in hindrances_of(ada, sees_all=True)] == ["mine"]
        assert hindrances_of(other, sees_all=True) == []
        assert [row.text for row in last_seen({other.tenant_id}, [MODEL])] == ["another lane's"]

    def test_nothing_is_asked_or_written_where_nobody_waits_and_old_rows_go(self, line, monkeypatch):
        monkeypatch.setattr(line.gate, "inspect", lambda *_: pytest.fail("the gate was asked"))
        assert note_hindrances(line.gate) == 0
        Hindrance.objects.create(model=MODEL, lane=3, kind="slots", seen_at=timezone.now() - dt.timedelta(days=8))
        Hindrance.objects.create(model=MODEL, lane=3, kind="slots")
        assert delete_old_hindrances() == 1

    def test_the_caretaker_writes_it_down(self, line, station):
        line.account_limit("requests", 1, is_enforced=False)
        line.submit_many(2)
        wait_for(Hindrance.objects.exists)
        assert Hindrance.objects.get().kind == "limit"
