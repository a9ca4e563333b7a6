"""Tenants, people, keys, providers, models and prices in the admin: set through the changes that check and audit, secrets never shown."""

import re
from typing import ClassVar

import pytest
from django.contrib.auth import get_user_model

from rateguard import wiring
from rateguard.jobs.upkeep import rebuild
from tenants.keys import find_key
from tenants.models import (
    ApiKey,
    AuditEntry,
    Deployment,
    GateEvent,
    Member,
    ModelRoute,
    Price,
    ProviderAccount,
    RouteTarget,
    Scope,
    Tenant,
)
from tests.signedin import errors_of, signed_in
from tests.simprovider import sim, sim_process  # noqa: F401
from tests.tenancy import CHAT_MODEL, EMBEDDING_MODEL, acme, add_tenant  # noqa: F401

CANARY = "sk-canary-never-to-be-seen"
LISTS = ("limit", "budget", "tenant", "member", "apikey", "provideraccount", "deployment", "modelroute", "price")


@pytest.fixture
def root(acme):  # noqa: F811
    return signed_in("root")


@pytest.fixture
def adam(acme):  # noqa: F811
    return signed_in("adam", acme="admin")


@pytest.fixture
def olga(acme):  # noqa: F811
    return signed_in("olga", acme="owner")


def secret_in(response):
    return re.search(r'id="rg-secret" value="(rg_[^"]+)"', response.content.decode())[1]


class TestKeys:
    FIELDS: ClassVar = {"name": "backend", "permissions": ["read", "submit"]}

    def test_a_keys_secret_is_shown_once_and_works(self, adam, acme):  # noqa: F811
        fields = {
            **self.FIELDS,
            "allowed_models": CHAT_MODEL,
            "highest_lane": "3",
            "bound": "team ml, user ann",
            "expires_at_0": "2099-01-31",
        }
        response = adam.make("apikey", tenant=acme.tenant.pk, **fields, expires_at_1="12:00")
        secret = secret_in(response)
        key = find_key(secret)
        assert (key.name, key.allowed_models, key.highest_lane, key.bound) == ("backend", [CHAT_MODEL], 3, {"team": "ml", "user": "ann"})
        assert "no-store" in response.headers["Cache-Control"]
        for page in (adam.list("apikey"), adam.see(key), adam.client.get(f"/admin/rateguard_tenants/apikey/{key.pk}/history/")):
            assert secret not in page.content.decode()
            assert key.digest not in page.content.decode()

    def test_a_key_is_rotated_with_an_overlap_and_revoked(self, adam, acme):  # noqa: F811
        assert adam.client.get(f"/admin/rateguard_tenants/apikey/{acme.key.pk}/do/rotate/").status_code == 200
        assert errors_of(adam.do(acme.key, "rotate", overlap="forever")) == {}
        new = secret_in(adam.do(acme.key, "rotate", overlap="1h"))
        assert find_key(new).pk == find_key(acme.secret).pk == acme.key.pk
        assert "revoked" in adam.told(adam.do(acme.key, "revoke"))
        assert (find_key(new), find_key(acme.secret)) == (None, None)
        assert adam.do(acme.key, "rotate", overlap="1h").status_code == 404
        assert [(one.by, one.action) for one in AuditEntry.objects.order_by("pk")] == [("user adam", "rotated"), ("user adam", "revoked")]

    @pytest.mark.parametrize(
        ("fields", "at"),
        [
            ({"permissions": []}, "permissions"),
            ({"allowed_models": "no-such"}, "allowed_models"),
            ({"bound": "planet mars"}, "bound"),
            ({"bound": "team"}, "bound"),
            ({"default_lane": "1", "highest_lane": "4"}, "default_lane"),
            ({"expires_at_0": "2001-01-01", "expires_at_1": "00:00"}, "expires_at"),
        ],
    )
    def test_what_no_key_can_be_is_told_beside_its_field(self, adam, acme, fields, at):  # noqa: F811
        assert list(errors_of(adam.make("apikey", tenant=acme.tenant.pk, **{**self.FIELDS, **fields}))) == [at]
        assert ApiKey.objects.count() == 1

    def test_a_tenants_admin_makes_no_operators_key(self, adam, acme):  # noqa: F811
        adam.make("apikey", tenant=acme.tenant.pk, **self.FIELDS, is_operator="on")
        assert not ApiKey.objects.filter(is_operator=True).exists()
        globex = add_tenant("globex")
        assert list(errors_of(adam.make("apikey", tenant=globex.tenant.pk, **self.FIELDS))) == ["tenant"]
        assert {adam.see(globex.key).status_code, adam.do(globex.key, "revoke").status_code} == {404}


class TestTenantsAndMembers:
    def test_operators_set_tenants_and_others_see_their_own(self, root, adam, acme):  # noqa: F811
        fields = {"name": "initech", "weight": "3", "time_zone": "Asia/Kathmandu", "max_waiting": ""}
        root.told(root.make("tenant", **fields))
        initech = Tenant.objects.get(name="initech")
        assert (initech.weight, initech.time_zone) == (3, "Asia/Kathmandu")
        assert list(errors_of(root.change(initech, **{**fields, "weight": "0", "name": "acme"}))) == ["name"]
        assert "refused" in root.told(root.do(initech, "close"))
        initech.refresh_from_db()
        assert (initech.status, root.told(root.do(initech, "open"))) == ("paused", "Work of initech is taken again.")
        root.told(root.delete(initech))
        assert (adam.see(acme.tenant).status_code, adam.make("tenant", **fields).status_code) == (200, 403)
        assert adam.change(acme.tenant, **fields).status_code == 403
        assert adam.do(acme.tenant, "close").status_code == 403

    def test_an_owner_says_who_belongs_to_a_tenant_and_an_admin_does_not(self, olga, adam, acme):  # noqa: F811
        olga.told(olga.make("member", tenant=acme.tenant.pk, username="vera", role="viewer"))
        vera = Member.objects.get(user__username="vera")
        olga.told(olga.change(vera, role="member"))
        assert Member.objects.get(pk=vera.pk).role == "member"
        get_user_model().objects.create_user("known")
        assert list(errors_of(olga.make("member", tenant=acme.tenant.pk, username="known", role="viewer"))) == ["username"]
        assert adam.see(vera).status_code == 200
        assert {adam.change(vera, role="owner").status_code, adam.delete(vera).status_code, adam.make("member").status_code} == {403}
        olga.told(olga.delete(vera))
        assert [one.by for one in AuditEntry.objects.filter(kind="member")] == ["user olga"] * 3


class TestProviders:
    def account(self, root, **fields):
        given = {"name": "spare", "provider": "sim", "base_url": "http://127.0.0.1:1/v1", "credentials": CANARY, "tenant": ""}
        root.told(root.make("provideraccount", **{**given, **fields}))
        return ProviderAccount.objects.get(name="spare")

    def test_credentials_go_in_and_never_come_out(self, root):
        account = self.account(root)
        assert account.credentials.reveal() == CANARY
        kept = {"name": "renamed", "provider": "sim", "base_url": account.base_url, "credentials": ""}
        root.told(root.change(account, **kept))
        account.refresh_from_db()
        assert (account.name, account.credentials.reveal()) == ("renamed", CANARY)
        moved = root.change(account, **{**kept, "base_url": "https://elsewhere.example.com/v1"})
        assert list(errors_of(moved)) == ["credentials"]
        bad = root.change(account, **{**kept, "credentials": f"{CANARY}\nx"})
        assert list(errors_of(bad)) == ["credentials"]
        pages = [root.list(model) for model in LISTS] + [root.see(account), moved, bad]
        assert not [page for page in pages if CANARY in page.content.decode()]
        assert CANARY not in str(list(AuditEntry.objects.values()))

    def test_a_new_account_is_where_its_preset_says_with_its_limits_unless_somebody_wants_none(self, root):
        account = self.account(root, provider="deepseek", base_url="", default_limits="on")
        assert (account.base_url, account.limits.get().amount) == ("https://api.deepseek.com", 500)
        self.account(root, name="bare", provider="deepseek", base_url="")
        assert not ProviderAccount.objects.get(name="bare").limits.exists()
        unknown = root.make("provideraccount", name="x", provider="openai", base_url="", credentials=CANARY, tenant="")
        assert list(errors_of(unknown)) == ["base_url"]

    def test_a_connection_is_tested_and_its_answer_told(self, root, sim):  # noqa: F811
        sim.control.configure(keys=["sk-right"], models=["a-model"])
        account = self.account(root, base_url=sim.base_url, credentials="sk-right")
        assert "takes the key. Of models it names 1: a-model" in root.told(root.do(account, "test"))
        ProviderAccount.objects.filter(pk=account.pk).update(credentials="sk-wrong")
        assert "refuses the credentials" in root.told(root.do(account, "test"))
        ProviderAccount.objects.filter(pk=account.pk).update(base_url="http://127.0.0.1:1/v1")
        assert "does not answer: connection refused" in root.told(root.do(account, "test"))
        assert root.client.get(f"/admin/rateguard_tenants/provideraccount/{account.pk}/do/test/").status_code == 200

    def test_a_tenants_admin_has_accounts_of_its_own_alone(self, adam, acme):  # noqa: F811
        shared = ProviderAccount.objects.get()
        fields = {"name": "ours", "provider": "openai", "base_url": "http://inside.example.com/v1", "credentials": CANARY}
        assert list(errors_of(adam.make("provideraccount", tenant=acme.tenant.pk, **fields))) == ["base_url"]
        adam.told(adam.make("provideraccount", tenant=acme.tenant.pk, **{**fields, "base_url": "https://api.example.com/v1"}))
        assert f"/{shared.pk}/change/" not in adam.text("provideraccount")
        assert CHAT_MODEL not in adam.text("deployment")
        assert {adam.see(shared).status_code, adam.do(shared, "test").status_code, adam.delete(shared).status_code} == {404}
        assert {adam.list("modelroute").status_code, adam.list("price").status_code} == {403}

    def test_a_deployments_breaker_is_forced_freed_and_reset(self, root, redis_url):
        row = Deployment.objects.get(upstream_model=CHAT_MODEL)
        assert "was done. Try again" in root.told(root.do(row, "reset")).replace("nothing was done", "was done")
        rebuild.rebuild(wiring.gate())
        assert "closed" in root.text("deployment")
        root.told(root.do(row, "open"))
        assert "forced by hand" in root.text("deployment")
        assert root.do(row, "open").status_code == 404
        root.told(root.do(row, "auto"))
        root.told(root.do(row, "reset"))
        assert "out of it" not in root.told(root.do(row, "disable"))
        row.refresh_from_db()
        assert (row.is_enabled, row.breaker_forced) == (False, "no")
        assert all("by user root" in detail for detail in GateEvent.objects.values_list("detail", flat=True))

    def test_a_deployment_is_made_and_its_bad_values_told(self, root):
        account = ProviderAccount.objects.get()
        fields = {"account": account.pk, "name": "second", "upstream_model": "gpt-x", "region": "eu", "weight": "2", "is_enabled": "on"}
        root.told(root.make("deployment", **fields))
        row = Deployment.objects.get(name="second")
        assert list(errors_of(root.change(row, **{**fields, "weight": "0"}))) == ["weight"]
        assert list(errors_of(root.change(row, **{**fields, "breaker_probes": "400"}))) == ["breaker_probes"]
        assert "cannot be deleted" in root.told(root.delete(account))


class TestCatalogue:
    def test_a_model_leads_to_its_deployments_in_order(self, root):
        first, second = Deployment.objects.order_by("pk")
        root.told(root.make("modelroute", name="fast", is_enabled="on", deployment_0=second.pk, deployment_1=first.pk))
        route = ModelRoute.objects.get(name="fast")
        assert list(RouteTarget.objects.filter(route=route).values_list("deployment", flat=True)) == [second.pk, first.pk]
        root.told(root.change(route, name="fast", is_enabled="on", deployment_0=first.pk))
        assert [target.deployment for target in route.targets.all()] == [first]
        assert list(errors_of(root.change(route, name="fast", deployment_0=first.pk, deployment_2=first.pk))) == ["deployment_2"]
        assert list(errors_of(root.change(route, name="f a s t", deployment_0=first.pk))) == ["name"]
        assert list(errors_of(root.make("modelroute", name="nowhere"))) == ["deployment_0"]

    def choosing(self, **other):
        """How a model chooses, as its form is filled in."""
        first, second = Deployment.objects.order_by("pk")
        Deployment.objects.filter(pk=first.pk).update(region="eu")
        chooses = {"strategy": "weighted", "regions": "eu", "is_sticky": "on", "max_fallbacks": "1"}
        leads = {"deployment_0": first.pk, "deployment_1": second.pk, "weights": f"{first} = 3", "after_ms": f"{second}=5000"}
        falls = {"fallback_on_0": "context_too_long", "fallback_to_0": ModelRoute.objects.get(name=EMBEDDING_MODEL).pk}
        return {"name": CHAT_MODEL, "is_enabled": "on"} | chooses | leads | falls | other

    def test_a_model_is_told_how_it_chooses(self, root):
        route = ModelRoute.objects.get(name=CHAT_MODEL)
        root.told(root.change(route, **self.choosing()))
        route.refresh_from_db()
        assert (route.strategy, route.regions, route.is_sticky, route.hedges, route.max_fallbacks) == ("weighted", ["eu"], True, False, 1)
        assert [(one.weight, one.after_ms) for one in route.targets.order_by("position")] == [(3, 0), (None, 5_000)]
        assert [(one.on, one.to.name) for one in route.fallbacks.all()] == [("context_too_long", EMBEDDING_MODEL)]
        page = root.see(route).content.decode()
        shown = ('value="gpt-5-4-mini=3"', 'value="text-embedding-3-small=5000"', 'value="eu"')
        assert [one for one in shown if one not in page] == []

    @pytest.mark.long
    def test_what_is_wrong_with_a_models_choice_stands_beside_its_field(self, root):
        route = ModelRoute.objects.get(name=CHAT_MODEL)
        for wrong, field in (
            ({"weights": "gpt-5-4-mini=0"}, "weights"),
            ({"weights": "none=3"}, "weights"),
            ({"weights": "gpt-5-4-mini"}, "weights"),
            ({"after_ms": "gpt-5-4-mini=99999999"}, "after_ms"),
            ({"deployment_2": Deployment.objects.order_by("pk")[0].pk}, "deployment_2"),
            ({"regions": "mars"}, "regions"),
            ({"max_fallbacks": "11"}, "max_fallbacks"),
            ({"fallback_on_1": "any"}, "fallback_to_1"),
            ({"fallback_on_1": "any", "fallback_to_1": route.pk}, "fallback_to_1"),
        ):
            assert list(errors_of(root.change(route, **self.choosing(**wrong)))) == [field]

    def test_prices_are_dollars_with_a_history(self, root):
        fields = {"provider": "openai", "model": "gpt-x", "valid_from_0": "2026-01-01", "valid_from_1": "00:00"}
        root.told(root.make("price", **fields, input_usd="0.15", output_usd="0.6"))
        root.told(
            root.make("price", **{**fields, "valid_from_0": "2026-02-01"}, input_usd="0.1", output_usd="0.4", cached_input_usd="0.01")
        )
        assert list(Price.objects.filter(model="gpt-x").order_by("pk").values_list("input_pico", "cached_input_pico")) == [
            (150_000, 150_000),
            (100_000, 10_000),
        ]
        page = root.text("price", q="gpt-x")
        assert ("past" in page, "in force" in page) == (True, True)
        newest = Price.objects.get(model="gpt-x", input_pico=100_000)
        bad = {**fields, "valid_from_0": "2026-02-01", "input_usd": "0.00000001", "output_usd": "1"}
        assert "input_usd" in errors_of(root.change(newest, **bad))


@pytest.mark.parametrize("role", ["viewer", "member"])
def test_who_sets_nothing_does_not_enter(acme, role):  # noqa: F811
    person = signed_in("vera", acme=role)
    assert person.client.get("/admin/rateguard_tenants/limit/", follow=True).status_code == 403


def test_nothing_is_shown_to_a_tenants_admin_that_is_not_ours(adam, root):
    assert (adam.client.get("/admin/auth/user/").status_code, adam.client.get("/admin/auth/group/").status_code) == (403, 404)
    assert "Users" not in adam.text("limit")
    assert ("Users" in root.text("limit"), root.client.get("/admin/auth/user/").status_code) == (True, 200)
    found = adam.client.get("/admin/autocomplete/?app_label=rateguard_tenants&model_name=scope&field_name=tenant").json()["results"]
    assert [one["text"] for one in found] == ["acme"]


def test_a_user_has_a_weight_of_his_own_until_it_is_given_back(adam, acme):  # noqa: F811
    adam.told(adam.make("scope", tenant=acme.tenant.pk, user="ada", weight="5"))
    row = Scope.objects.get(kind="user", name="ada")
    assert (row.weight, "ada" in adam.text("scope")) == (5, True)
    assert list(errors_of(adam.make("scope", tenant=acme.tenant.pk, user="*", weight="5"))) == ["user"]
    assert list(errors_of(adam.change(row, weight="1001"))) == ["weight"]
    adam.told(adam.delete(row))
    row.refresh_from_db()
    assert (row.weight, AuditEntry.objects.filter(kind="scope").count()) == (1, 2)
