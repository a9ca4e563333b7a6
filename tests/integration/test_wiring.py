"""Database → gate: what a committed change pushes, what is forgotten."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import asyncio

import pytest

from rateguard import wiring
from tenants.models import (
    Budget,
    Forgotten,
    ModelRoute,
    Run,
    Scope,
    Tenant,
)
from tests.simprovider import wait_for
from tests.watching import acme, commit, deployment, gate, path, requests  # noqa: F401

pytestmark = pytest.mark.django_db


class TestPushes:
    def test_a_new_limit_on_any_node_of_a_tenant_is_there_when_it_commits(self, gate, acme, commit):
        with commit():
            row = requests(Scope.objects.create(tenant=acme, kind="user", name="*"))
            assert gate.limits_of(path(acme, user="ann")) == ()
        assert gate.limits_of(path(acme, user="ann")) == (f"l{row.pk}@user:ann",)

    def test_a_change_of_one_tenant_pushes_nothing_of_another(self, gate, acme, commit):
        other = Tenant.objects.create(name="other")
        requests(Scope.objects.create(tenant=other, kind="tenant"))
        with commit():
            requests(Scope.objects.create(tenant=acme, kind="tenant"))
        told = gate.told[-1]
        assert ([scope.id for scope in told.scopes], len(told.limits), told.models) == ([str(acme.pk)], 1, ())
        with commit():
            acme.save()
        assert [scope.id for scope in gate.told[-1].scopes] == [str(acme.pk)]

    def test_a_change_of_a_provider_pushes_models_alone(self, gate, acme, deployment, commit):
        with commit():
            deployment.breaker_forced = "open"
            deployment.save()
        told = gate.told[-1]
        assert (told.scopes, {model.name.partition("~")[0] for model in told.models}) == ((), {"mini"})

    def test_a_global_limit_reaches_every_tenant(self, gate, acme, commit):
        with commit():
            row = requests(Scope.objects.create(kind="global"))
        assert gate.limits_of(path(acme)) == (f"l{row.pk}",)

    def test_the_default_of_all_tenants_yields_to_a_tenants_own(self, gate, acme, commit):
        with commit():
            every = requests(Scope.objects.create(kind="tenant", name="*"))
        assert gate.limits_of(path(acme)) == (f"l{every.pk}@tenant:{acme.pk}",)
        with commit():
            own = requests(Scope.objects.create(tenant=acme, kind="tenant"))
        assert gate.limits_of(path(acme)) == (f"l{own.pk}",)
        with commit():
            own.delete()
        assert gate.limits_of(path(acme)) == (f"l{every.pk}@tenant:{acme.pk}",)

    def test_a_gate_that_is_away_disturbs_no_commit_and_is_told_later(self, gate, acme, commit, caplog):
        gate.is_away = True
        with commit():
            row = requests(Scope.objects.create(tenant=acme, kind="tenant"))
        assert "the caretaker will" in caplog.text
        gate.is_away = False
        assert wiring.push_configuration()
        assert gate.limits_of(path(acme)) == (f"l{row.pk}",)

    def test_what_is_known_of_a_path_follows_a_change(self, gate, acme, commit):
        assert wiring.limits_of_path(path(acme)) == ()
        with commit():
            row = requests(Scope.objects.create(tenant=acme, kind="tenant"), amount=7)
        assert [found.amount for found in wiring.limits_of_path(path(acme))] == [7]
        with commit():
            row.delete()
        assert wiring.limits_of_path(path(acme)) == ()


class TestForgetting:
    def test_a_deleted_limit_is_gone_from_the_gate(self, gate, acme, commit):
        with commit():
            row = requests(Scope.objects.create(tenant=acme, kind="tenant"))
            kept = Budget.objects.create(scope=row.scope, amount=1)
        with commit():
            row.delete()
        assert gate.limits_of(path(acme)) == (f"b{kept.pk}",)
        assert [use.id for use in gate.inspect().limits] == [f"b{kept.pk}"]

    def test_a_deleted_scope_takes_its_limits_and_its_weight_along(self, gate, acme, commit):
        with commit():
            every, ann = (Scope.objects.create(tenant=acme, kind="user", name=name) for name in ("*", "ann"))
            default = requests(every)
            requests(ann, amount=9)
        gate.told.clear()
        with commit():
            ann.delete()
        assert gate.limits_of(path(acme, user="ann")) == (f"l{default.pk}@user:ann",)
        assert {scope.id for told in gate.told for scope in told.scopes} == {str(acme.pk)}

    def test_a_deleted_default_leaves_the_tenant_alone(self, gate, acme, commit):
        with commit():
            every = Scope.objects.create(tenant=acme, kind="user", name="*")
            requests(every)
        with commit():
            every.delete()
        assert wiring.push_configuration()
        assert gate.limits_of(path(acme, user="ann")) == ()

    def test_what_was_deleted_while_the_gate_was_away_is_forgotten_later(self, gate, acme, commit):
        with commit():
            every, ann = (Scope.objects.create(tenant=acme, kind="user", name=name) for name in ("*", "ann"))
            default, own = requests(every), requests(ann)
        gate.is_away = True
        with commit():
            ann.delete()
        gate.is_away = False
        assert gate.limits_of(path(acme, user="ann")) == (f"l{own.pk}",)
        assert wiring.push_configuration()
        assert gate.limits_of(path(acme, user="ann")) == (f"l{default.pk}@user:ann",)
        assert [use.id for use in gate.inspect().limits] == [f"l{default.pk}"]
        assert not Forgotten.objects.exists()

    def test_a_scope_that_comes_back_is_not_forgotten_for_its_predecessors_sake(self, gate, acme, commit):
        with commit():
            Scope.objects.create(tenant=acme, kind="user", name="ann").delete()
            row = requests(Scope.objects.create(tenant=acme, kind="user", name="ann"))
        assert wiring.push_configuration()
        assert gate.limits_of(path(acme, user="ann")) == (f"l{row.pk}",)

    def test_a_scope_that_is_renamed_leaves_its_old_node(self, gate, acme, commit):
        with commit():
            ann = Scope.objects.create(tenant=acme, kind="user", name="ann")
            row = requests(ann)
        with commit():
            ann.name = "anna"
            ann.save()
        assert (gate.limits_of(path(acme, user="ann")), gate.limits_of(path(acme, user="anna"))) == ((), (f"l{row.pk}",))

    def test_a_deleted_tenant_is_unknown_with_everything_below_it(self, gate, acme, commit):
        with commit():
            requests(Scope.objects.create(tenant=acme, kind="user", name="ann"))
            Run.objects.create(tenant=acme, max_calls=1)
        gone = path(acme)
        with commit():
            acme.delete()
        assert gate.limits_of(gone) is None
        assert gate.inspect().limits == ()
        assert gate._room.paths.records.keys() <= {""}

    @pytest.mark.parametrize("is_away", [False, True])
    @pytest.mark.parametrize("how", ["deleted", "renamed", "disabled"])
    def test_a_model_that_is_gone_keeps_its_place_without_deployments(self, gate, deployment, commit, how, is_away):
        route = ModelRoute.objects.get()
        gate.is_away = is_away
        with commit():
            if how == "deleted":
                route.delete()
            else:
                route.name, route.is_enabled = ("maxi", True) if how == "renamed" else ("mini", False)
                route.save()
        gate.is_away = False
        assert not is_away or wiring.push_configuration()
        assert gate._room.lists.records["mini"].deployments == ()
        assert ("maxi" in gate._room.lists.records) == (how == "renamed")


def test_on_an_event_loop_known_models_are_used_and_read_anew_beside(monkeypatch):
    """Nobody may ask the database there."""
    known, read = wiring.directory(), []
    monkeypatch.setattr(wiring, "_read_and_close", lambda: read.append("beside"))
    monkeypatch.setattr(wiring, "_known_version", known.version + 1)

    async def look():
        return wiring.directory()

    assert asyncio.run(look()) is known
    wait_for(lambda: read == ["beside"])
    assert wiring.directory() is not known
