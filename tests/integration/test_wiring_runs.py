"""Runs, pauses and notices between database and gate: what the caretaker brings and takes away."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import datetime as dt

import pytest
from django.db.models import QuerySet
from django.utils import timezone

from rateguard import wiring
from rateguard.engine.errors import GateUnavailable
from rateguard.engine.gate.contract import Notice, NoticeKind
from rateguard.engine.money import NANO
from rateguard.jobs.upkeep import tidying
from tenants.models import (
    Budget,
    ConfigVersion,
    Deployment,
    GateEvent,
    Pause,
    ProviderAccount,
    Run,
    Scope,
)
from tenants.notation import budget_fields
from tenants.records import runs
from tests.watching import LONG_AGO, acme, commit, deployment, gate, path  # noqa: F401

pytestmark = pytest.mark.django_db


class TestRuns:
    def test_a_run_is_pushed_when_it_commits_and_raises_no_version(self, gate, acme, commit):
        version = ConfigVersion.current()
        with commit():
            run = Run.objects.create(tenant=acme, budget_nano_usd=NANO)
            assert gate.limits_of(path(acme, runs=[run.pk])) is None
        assert gate.limits_of(path(acme, runs=[run.pk])) == (f"rb{run.pk.hex}",)
        assert ConfigVersion.current() == version == gate.told[-1].version

    def test_a_run_that_is_stopped_by_an_update_is_pushed_as_well(self, gate, acme, commit):
        with commit():
            run = Run.objects.create(tenant=acme)
        with commit():
            Run.objects.filter(pk=run.pk).update(state="stopped", stopped_at=timezone.now())
        assert gate.limits_of(path(acme, runs=[run.pk])) == (f"rp{run.pk.hex}",)

    def test_a_run_that_is_stopped_while_it_is_pushed_stays_stopped(self, gate, acme, commit):
        """Its own push may be overtaken by an older one of the same version."""

        def stop_first():
            gate.before_writing = lambda: None
            QuerySet(Run).filter(pk=run.pk).update(state="stopped", stopped_at=timezone.now())  # another process tells of it

        gate.before_writing = stop_first
        with commit():
            run = Run.objects.create(tenant=acme)
        assert gate.limits_of(path(acme, runs=[run.pk])) == (f"rp{run.pk.hex}",)

    def test_a_run_that_is_stopped_while_everything_is_pushed_stays_stopped(self, gate, acme, commit):
        with commit():
            run = Run.objects.create(tenant=acme)

        def stop_first():
            gate.before_writing = lambda: None
            QuerySet(Run).filter(pk=run.pk).update(state="stopped", stopped_at=timezone.now())  # another process tells of it

        gate.before_writing = stop_first
        assert wiring.push_configuration()
        assert gate.limits_of(path(acme, runs=[run.pk])) == (f"rp{run.pk.hex}",)

    def test_a_run_is_forgotten_a_day_after_its_end_and_not_before(self, gate, acme, commit):
        now = timezone.now()
        with commit():
            times = {"stopped": {"state": "stopped", "stopped_at": now}, "late": {"deadline_at": now - dt.timedelta(minutes=1)}, "open": {}}
            kept = [Run.objects.create(tenant=acme, name=name, **fields) for name, fields in times.items()]
            stopped = Run.objects.create(tenant=acme, max_calls=1, state="stopped", stopped_at=now - dt.timedelta(hours=25))
            late = Run.objects.create(tenant=acme, deadline_at=now - dt.timedelta(hours=25))
        assert tidying.forget_runs() == 2
        assert [gate.limits_of(path(acme, runs=[run.pk])) for run in (stopped, late)] == [None, None]
        assert None not in [gate.limits_of(path(acme, runs=[run.pk])) for run in kept]
        assert wiring.push_configuration()
        assert gate.limits_of(path(acme, runs=[stopped.pk])) is None
        assert tidying.forget_runs() == 0

    def test_of_runs_that_ended_the_latest_are_kept_as_many_as_there_may_be(self, gate, acme, commit, monkeypatch):
        monkeypatch.setattr(runs, "MOST_ENDED", 2)
        with commit():
            ended = [Run.objects.create(tenant=acme, state="stopped", stopped_at=timezone.now()) for _ in range(3)]
        Run.objects.filter(pk=ended[1].pk).update(created_at=LONG_AGO)
        assert tidying.forget_runs() == 1
        assert [gate.limits_of(path(acme, runs=[run.pk])) is None for run in ended] == [False, True, False]

    def test_a_gate_that_is_away_forgets_a_run_later(self, gate, acme, commit):
        with commit():
            run = Run.objects.create(tenant=acme, state="stopped", stopped_at=LONG_AGO)
        gate.is_away = True
        with pytest.raises(GateUnavailable):
            tidying.forget_runs()
        gate.is_away = False
        assert tidying.forget_runs() == 1
        assert gate.limits_of(path(acme, runs=[run.pk])) is None

    def test_a_run_that_nobody_stopped_in_thirty_days_is_stopped_unless_it_has_a_deadline(self, gate, acme, commit):
        with commit():
            young, old, dated = (Run.objects.create(tenant=acme) for _ in range(3))
            Run.objects.exclude(pk=young.pk).update(created_at=timezone.now() - dt.timedelta(days=31))
            Run.objects.filter(pk=dated.pk).update(deadline_at=timezone.now() + dt.timedelta(days=1))
        with commit():
            tidying.tidy()
        assert list(Run.objects.filter(state="stopped")) == [old]
        assert gate.limits_of(path(acme, runs=[old.pk])) == (f"rp{old.pk.hex}",)


class TestPauses:
    @pytest.mark.parametrize("kind", ["all", "tenant", "run"])
    def test_a_pause_stands_when_it_commits_and_is_gone_when_it_is_lifted(self, gate, acme, commit, kind):
        with commit():
            run = Run.objects.create(tenant=acme)
        where, target = path(acme, runs=[run.pk]), {"all": "", "tenant": str(acme.pk), "run": run.pk.hex}[kind]
        with commit():
            pause = Pause.objects.create(target_kind=kind, target=target)
        assert gate.limits_of(where) == (f"p{pause.pk}",)
        with commit():
            pause.delete()
        assert gate.limits_of(where) == gate.inspect().limits == ()

    @pytest.mark.parametrize("kind", ["model", "deployment", "account"])
    def test_a_pause_of_a_place_stands_at_the_place(self, gate, deployment, commit, kind):
        target = {"model": "mini", "deployment": str(deployment.pk), "account": str(deployment.account.pk)}[kind]
        with commit():
            pause = Pause.objects.create(target_kind=kind, target=target)
        assert gate._room.lists.records["mini"].deployments[0].limits == (f"p{pause.pk}",)
        with commit():
            pause.delete()
        assert gate._room.lists.records["mini"].deployments[0].limits == ()

    def test_a_lane_is_paused_and_resumed(self, gate, commit):
        with commit():
            pause = Pause.objects.create(target_kind="lane", target="low")
        assert len(gate._paused_lanes) == 1
        with commit():
            pause.delete()
        assert not gate._paused_lanes

    def test_a_pause_whose_time_has_passed_is_lifted(self, gate, acme, commit):
        with commit():
            Pause.objects.create(target_kind="lane", target="low", until=timezone.now() - dt.timedelta(seconds=2))
            kept = [
                Pause.objects.create(target_kind="all"),
                Pause.objects.create(target_kind="lane", target="high", until=timezone.now() + dt.timedelta(minutes=1)),
            ]
        with commit():
            assert tidying.lift_pauses() == 1
        assert list(Pause.objects.order_by("pk")) == kept
        assert len(gate._paused_lanes) == 1


class TestNotices:
    def tell(self, gate, subject, value=80, period=0, kind=NoticeKind.THRESHOLD):
        name = f"{kind}|{subject}|{value}|{period}"
        gate.told_notices[name] = Notice(name, kind, subject, value, period, 1_700_000_000_123, "closed>open")

    def test_a_notice_becomes_one_event_however_often_it_is_read(self, gate, acme):
        budget = Budget.objects.create(scope=Scope.objects.create(tenant=acme, kind="user", name="*"), **budget_fields("$5/day"))
        self.tell(gate, f"b{budget.pk}@user:ann", period=1_699_999_200_000)
        again = dict(gate.told_notices)
        assert tidying.collect_notices() == 1
        assert gate.told_notices == {}
        gate.told_notices = again
        assert tidying.collect_notices() == 1
        event = GateEvent.objects.get()
        assert (event.kind, event.tenant, event.subject, event.value) == ("threshold", acme, f"b{budget.pk}@user:ann", 80)
        assert event.at == dt.datetime.fromtimestamp(1_700_000_000.123, dt.UTC)
        assert event.period == dt.datetime.fromtimestamp(1_699_999_200, dt.UTC)

    def test_an_event_is_of_the_tenant_whose_budget_run_or_account_it_is(self, gate, acme, deployment):
        own = ProviderAccount.objects.create(name="own", provider="openai", base_url="https://api.example.com/v1", tenant=acme)
        mine = Deployment.objects.create(account=own, name="own", upstream_model="m")
        run = Run.objects.create(tenant=acme, budget_nano_usd=1)
        every = Budget.objects.create(scope=Scope.objects.create(kind="tenant", name="*"), amount=1)
        wanted = {f"rb{run.pk.hex}": acme.pk, str(mine.pk): acme.pk, str(deployment.pk): None, f"b{every.pk}@tenant:{acme.pk}": acme.pk}
        wanted |= {f"b{every.pk}": None, "b999": None, "rb" + "0" * 32: None}
        for subject in wanted:
            self.tell(gate, subject, kind=NoticeKind.BREAKER if subject.isdecimal() else NoticeKind.THRESHOLD)
        assert tidying.collect_notices() == len(wanted)
        assert dict(GateEvent.objects.values_list("subject", "tenant")) == wanted

    def test_all_that_the_gate_has_is_read_page_by_page(self, gate, acme, monkeypatch):
        monkeypatch.setattr(tidying, "NOTICES_AT_ONCE", 2)
        for value in range(1, 6):
            self.tell(gate, "7", value, kind=NoticeKind.BREAKER)
        assert tidying.collect_notices() == 5
        assert (GateEvent.objects.count(), gate.told_notices) == (5, {})

    def test_events_go_after_ninety_days(self, gate, acme):
        for age in (89, 91):
            GateEvent.objects.create(notice=str(age), kind="breaker", subject="7", at=timezone.now() - dt.timedelta(days=age))
        tidying.tidy()
        assert GateEvent.objects.get().notice == "89"
