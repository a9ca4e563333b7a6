"""Rows as the gate's records: looked at through the gate's memory twin, which answers for a path as the real one does."""

import datetime as dt
from dataclasses import asdict, replace
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import override_settings

from rateguard import wiring
from rateguard.engine.breaker.rule import BreakerRule, Forced
from rateguard.engine.gate.contract import PausedLane
from rateguard.engine.gate.memory import MemoryGate
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import MAX_AMOUNT, Exhausted, Kind, Level, Metric
from rateguard.engine.money import NANO
from tenants.keys import issue_key
from tenants.models import Budget, ConfigVersion, Deployment, Limit, ModelRoute, Pause, ProviderAccount, RouteTarget, Run, Scope, Tenant
from tenants.notation import budget_fields, parse_limit

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    wiring.forget_directory()
    yield Tenant.objects.create(name="acme", weight=3, time_zone="America/New_York")
    wiring.forget_directory()


@pytest.fixture
def deployment():
    account = ProviderAccount.objects.create(name="main", provider="openai", base_url="https://api.example.com/v1")
    made = Deployment.objects.create(account=account, name="mini", upstream_model="gpt-5.4-mini")
    for name in ("mini", "other"):
        RouteTarget.objects.create(route=ModelRoute.objects.create(name=name), deployment=made)
    return made


def scope(tenant, kind, name="", **fields):
    return Scope.objects.create(tenant=tenant, kind=kind, name=name, **fields)


def limit(on, text, **fields):
    place = {"scope": on} if isinstance(on, Scope) else {"account" if isinstance(on, ProviderAccount) else "deployment": on}
    return Limit.objects.create(**place, **asdict(parse_limit(text)), **fields)


def budget(on, text):
    return Budget.objects.create(scope=on, **budget_fields(text))


def names(*rows):
    return {f"{'l' if isinstance(row, Limit) else 'b'}{row.pk}" for row in rows}


def limits_of(path):
    """What the gate says that a path is limited by."""
    gate = MemoryGate()
    gate.configure(wiring.whole_configuration())
    gate.open(1)
    return set(gate.limits_of(path))


def record(row):
    (name,) = names(row)
    return next(found for found in wiring.whole_configuration().limits if found.id == name)


def node(name):
    return next(found for found in wiring.whole_configuration().scopes if found.id == name)


def placed(model="mini"):
    """The one deployment of a model, as the gate has it."""
    ((found,),) = (one.deployments for one in wiring.whole_configuration().models if one.name == model)
    return found


class TestNodes:
    def test_a_path_is_limited_by_each_of_its_nodes_and_by_no_other(self, acme):
        key, _ = issue_key(acme, "ci")
        nodes = {"team": "red", "rolegroup": "staff", "role": "dev", "user": "ann|e", "key": str(key.pk)}
        rows = [limit(scope(acme, kind, name), "5/min") for kind, name in nodes.items()]
        rows += [
            limit(scope(acme, "tenant"), "50/min"),
            limit(scope(None, "global"), "500/min"),
            budget(Scope.objects.get(tenant=acme, kind="team"), "$5/day"),
        ]
        limit(scope(acme, "user", "bob"), "1/min")
        limit(scope(Tenant.objects.create(name="other"), "tenant"), "1/min")
        path = wiring.path_of(acme.pk, **{**nodes, "key": key.pk})
        assert limits_of(path) == names(*rows)
        assert {found.id for found in wiring.limits_of_path(path)} == names(*rows)

    def test_every_node_of_a_kind_has_the_default_known_or_not(self, acme):
        row = limit(scope(acme, "user", "*"), "5/min")
        scope(acme, "user", "bob", weight=5)
        for user in ("bob", "nobody-knows"):
            wanted = {f"l{row.pk}@user:{user}"}
            assert limits_of(wiring.path_of(acme.pk, user=user)) == wanted
            assert {found.id for found in wiring.limits_of_path(wiring.path_of(acme.pk, user=user))} == wanted
        assert limits_of(wiring.path_of(acme.pk, team="red")) == set()

    def test_a_nodes_own_limit_replaces_the_default_of_the_same_metric_and_window_and_no_other(self, acme):
        every, bob = scope(acme, "user", "*"), scope(acme, "user", "bob")
        limit(every, "5/min")
        kept = [limit(every, "50/h"), limit(every, "5k tokens/min"), budget(every, "$5/day"), budget(every, "1M tokens/month")]
        budget(every, "$20/month")
        own = [limit(bob, "bucket 9/min"), budget(bob, "$90/month")]
        inherited = {f"{name}@user:bob" for name in names(*kept)}
        assert limits_of(wiring.path_of(acme.pk, user="bob")) == inherited | names(*own)

    def test_all_tenants_may_have_a_default_and_one_its_own(self, acme):
        other = Tenant.objects.create(name="other")
        row = limit(scope(None, "tenant", "*"), "5/min")
        own = limit(scope(other, "tenant"), "9/min")
        assert limits_of(str(acme.pk)) == {f"l{row.pk}@tenant:{acme.pk}"}
        assert limits_of(str(other.pk)) == names(own)
        assert {found.id for found in wiring.limits_of_path(str(acme.pk))} == {f"l{row.pk}@tenant:{acme.pk}"}

    def test_tenants_and_users_have_their_weights(self, acme):
        scope(acme, "user", "ann", weight=7)
        assert (node(str(acme.pk)).weight, node(f"{acme.pk}|user:ann").weight) == (3, 7)

    def test_a_limit_parks_where_it_stands(self, acme):
        on = {"global": scope(None, "global"), "tenant": scope(acme, "tenant"), "user": scope(acme, "user", "ann")}
        levels = {kind: record(limit(where, "5/min")).level for kind, where in on.items()}
        assert levels == {"global": Level.SHARED, "tenant": Level.TENANT, "user": Level.LEAF}

    def test_the_questions_do_not_grow_with_the_tenants(self, acme, django_assert_max_num_queries):
        for number in range(20):
            limit(scope(Tenant.objects.create(name=f"t{number}"), "tenant"), "5/min")
        with django_assert_max_num_queries(25):
            wiring.whole_configuration()


class TestLimits:
    def test_a_bucket_its_burst_and_its_reserve_reach_the_gate(self, acme):
        found = record(limit(scope(acme, "tenant"), "bucket 600 tokens/min burst 20% reserve 25% for high"))
        assert (found.kind, found.metric, found.window_ms, found.gives_back) == (Kind.BUCKET, Metric.TOKENS, 60_000, True)
        assert (found.amount_for(Lane.HIGH), found.amount_for(Lane.NORMAL)) == (120, 90)

    def test_a_providers_limit_counts_as_the_provider_does(self, deployment):
        tokens, calls = limit(deployment.account, "1M tokens/min"), limit(deployment, "5 concurrent")
        assert (record(tokens).metric, record(tokens).gives_back, record(tokens).guard_ms) == (Metric.PROVIDER_TOKENS, False, 100)
        assert (record(calls).kind, record(calls).gives_back) == (Kind.CONCURRENCY, True)
        assert placed().limits == (f"l{tokens.pk}", f"l{calls.pk}")


class TestLearned:
    def test_a_learned_limit_begins_with_what_was_typed_and_later_where_the_gate_last_stood(self, deployment):
        row = limit(deployment, "learned 60/min")
        record = next(one for one in wiring.whole_configuration().limits if one.id == f"l{row.pk}")
        assert (record.kind, record.learns_from, record.learns_floor, record.amount) == (Kind.WINDOW, 60, 6, MAX_AMOUNT)

        Limit.objects.filter(pk=row.pk).update(learned_amount=95)
        record = next(one for one in wiring.whole_configuration().limits if one.id == f"l{row.pk}")
        assert (record.learns_from, record.learns_floor) == (95, 6)

    def test_only_a_providers_limit_is_learned(self, acme):
        with pytest.raises(ValidationError, match="only a provider's limit is learned"):
            Limit(scope=scope(acme, "tenant"), **asdict(parse_limit("learned 60/min"))).full_clean()


class TestBudgets:
    def test_money_and_tokens_are_counted_each_as_what_they_are(self, acme):
        own = scope(acme, "tenant")
        money, tokens = record(budget(own, "$5 in total")), record(budget(own, "2M tokens in total"))
        assert (money.kind, money.metric, money.amount, money.periods) == (Kind.BUDGET, Metric.COST, 5 * NANO, ())
        assert (tokens.metric, tokens.amount, tokens.thresholds) == (Metric.PROVIDER_TOKENS, 2_000_000, (50, 80, 100))

    def test_the_gate_knows_the_current_period_of_the_tenants_zone_and_a_month_ahead(self, acme):
        found = record(budget(scope(acme, "team", "red"), "$5/day"))
        moments = [dt.datetime.fromtimestamp(start / 1000, dt.UTC) for start in found.periods]
        assert len(moments) == 32
        assert moments[0] <= ConfigVersion.current_and_time()[1] < moments[1]
        assert {moment.astimezone(ZoneInfo("America/New_York")).hour for moment in moments} == {0}

    def test_what_happens_at_the_end_is_what_the_row_says(self, acme):
        ModelRoute.objects.create(name="small")
        own = scope(acme, "tenant")
        texts = {"$1/day": Exhausted.REJECT, "$1/week hold": Exhausted.HOLD, "$1/month downgrade to small": Exhausted.DOWNGRADE}
        assert {text: record(budget(own, text)).on_exhausted for text in texts} == texts

    def test_a_row_that_nobody_checked_keeps_no_other_from_the_gate(self, acme):
        row = budget(scope(acme, "tenant"), "$5/day")
        Budget.objects.update(thresholds=["x", 50, 1_000, True, 50])
        Tenant.objects.update(time_zone="Mars/Olympus")
        assert (record(row).thresholds, len(record(row).periods)) == ((50,), 32)


class TestRuns:
    def test_a_run_is_limited_by_what_it_carries_and_by_the_runs_around_it(self, acme):
        outer = Run.objects.create(tenant=acme, budget_nano_usd=5 * NANO)
        inner = Run.objects.create(tenant=acme, parent=outer, max_calls=80)
        path = wiring.path_of(acme.pk, user="ann", runs=inner.lineage())
        wanted = {f"rb{outer.pk.hex}", f"rc{inner.pk.hex}"}
        assert limits_of(path) == wanted
        assert {found.id for found in wiring.limits_of_path(path)} == wanted
        found = {one.id: one for one in wiring.whole_configuration().limits}
        money, calls = found[f"rb{outer.pk.hex}"], found[f"rc{inner.pk.hex}"]
        assert (money.kind, money.metric, money.amount, money.level) == (Kind.BUDGET, Metric.COST, 5 * NANO, Level.LEAF)
        assert (calls.kind, calls.metric, calls.amount) == (Kind.BUDGET, Metric.REQUESTS, 80)

    def test_a_stopped_run_lets_nothing_through(self, acme):
        run = Run.objects.create(tenant=acme, state="stopped", stopped_at="2026-01-01T00:00Z")
        assert limits_of(wiring.path_of(acme.pk, runs=[run.pk])) == {f"rp{run.pk.hex}"}
        (stop,) = wiring.run_records(run)
        assert (stop.kind, stop.amount) == (Kind.PAUSE, 0)

    def test_a_run_of_nobody_has_no_limits(self, acme):
        path = wiring.path_of(acme.pk, runs=[Run(tenant=acme).pk])
        assert wiring.limits_of_path(path) == ()


class TestPauses:
    UNTIL = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)

    def test_a_pause_stands_at_the_node_of_its_target(self, acme):
        run = Run.objects.create(tenant=acme)
        other = Tenant.objects.create(name="other")
        everything = Pause.objects.create(target_kind="all")
        tenant = Pause.objects.create(target_kind="tenant", target=str(acme.pk), until=self.UNTIL)
        one = Pause.objects.create(target_kind="run", target=run.pk.hex)
        assert limits_of(str(other.pk)) == {f"p{everything.pk}"}
        assert limits_of(wiring.path_of(acme.pk, runs=[run.pk])) == {f"p{everything.pk}", f"p{tenant.pk}", f"p{one.pk}"}
        found = {one.id: (one.kind, one.amount, one.level) for one in wiring.whole_configuration().limits}
        assert found == {
            f"p{everything.pk}": (Kind.PAUSE, 0, Level.SHARED),
            f"p{tenant.pk}": (Kind.PAUSE, int(self.UNTIL.timestamp() * 1000), Level.TENANT),
            f"p{one.pk}": (Kind.PAUSE, 0, Level.LEAF),
        }
        assert wiring.limits_of_path(wiring.path_of(acme.pk, runs=[run.pk])) == ()

    def test_a_pause_of_a_model_stands_at_its_deployments_in_that_model_alone(self, deployment):
        pause = Pause.objects.create(target_kind="model", target="mini")
        assert (placed("mini").limits, placed("other").limits) == ((f"p{pause.pk}",), ())

    def test_a_pause_of_a_model_stands_in_the_list_of_a_tenant_too(self, acme, deployment):
        own = ProviderAccount.objects.create(name="own", provider="openai", base_url="https://api.example.com/v1", tenant=acme)
        mine = Deployment.objects.create(account=own, name="own-mini", upstream_model="m")
        RouteTarget.objects.create(route=ModelRoute.objects.get(name="mini"), deployment=mine, position=1)
        pause = Pause.objects.create(target_kind="model", target="mini")
        (listed,) = (one for one in wiring.whole_configuration().models if one.name == f"mini@{acme.pk}")
        assert [found.limits for found in listed.deployments] == [(f"p{pause.pk}",)] * 2

    @pytest.mark.parametrize("kind", ["deployment", "account"])
    def test_a_pause_of_a_deployment_or_account_stands_in_every_model(self, deployment, kind):
        target = deployment.pk if kind == "deployment" else deployment.account.pk
        pause = Pause.objects.create(target_kind=kind, target=str(target))
        assert placed("mini").limits == placed("other").limits == (f"p{pause.pk}",)

    def test_paused_lanes_are_told_all_together(self):
        assert wiring.whole_configuration().paused_lanes == ()
        Pause.objects.create(target_kind="lane", target="low", until=self.UNTIL)
        Pause.objects.create(target_kind="lane", target="high")
        expected = (PausedLane(Lane.HIGH, 0), PausedLane(Lane.LOW, int(self.UNTIL.timestamp() * 1000)))
        assert wiring.whole_configuration().paused_lanes == expected


class TestBreakers:
    def test_a_deployment_has_the_rule_of_the_setting_but_for_what_it_says_itself(self, deployment):
        assert placed().breaker == BreakerRule()
        Deployment.objects.update(breaker_failures=9, breaker_slow_ms=0, breaker_forced="open")
        with override_settings(RATEGUARD={"BREAKER": {"open_ms": 60_000, "slow_ms": 5_000}}):
            assert placed().breaker == replace(BreakerRule(), failures=9, open_ms=60_000, slow_ms=0, forced=Forced.OPEN)


def test_the_version_is_read_before_the_rows(acme):
    """A change between the two is in the rows and above the version: the gate takes the next push as newer."""
    seen = []

    def note(execute, sql, params, many, context):
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        wiring.whole_configuration()
    assert "configversion" in seen[0]
