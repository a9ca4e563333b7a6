"""A name under a wildcard is a model once somebody asks for it; it is as its wildcard is."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import pytest
from django.db import transaction

from rateguard import wiring
from rateguard.doctor import prices as doctor_prices
from rateguard.engine.errors import InvalidRequest, NotAllowed
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.intake.submission import Submission
from rateguard.jobs.intake.submit import submit
from rateguard.jobs.places import places_of
from tenants.changes import adopting, deployments, keys, limits, models
from tenants.changes.actor import Actor
from tenants.keys import issue_key
from tenants.models import AuditEntry, ConfigVersion, Deployment, ModelRoute, Price, ProviderAccount
from tests.api import Api, problem_of
from tests.tenancy import CHAT_MODEL, acme, add_tenant  # noqa: F401

pytestmark = pytest.mark.django_db

OPERATOR = Actor("shell ada")
HELLO = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
SONNET = "openrouter/anthropic/claude-sonnet-4.5"


def account(name="router", tenant=None):
    return ProviderAccount.objects.create(
        name=name, provider="openrouter", base_url="https://router.example/v1", credentials="k", tenant=tenant
    )


def wildcard(name="openrouter/*", upstream="*", of=None, **fields):
    """A wildcard that leads to one deployment."""
    told = {"name": name.replace("/", "-").replace("*", "any"), "upstream_model": upstream}
    there = deployments.create_deployment(OPERATOR, account=of or account(), **told)
    made = models.create_model(OPERATOR, name=name, deployments=[there], **fields)
    wiring.forget_directory()
    return made


def ask(customer, model):
    return submit(Submission(tenant=customer.tenant, endpoint=Endpoint.CHAT, body={"model": model, **HELLO})).job


def leads_to(name):
    route = ModelRoute.objects.get(name=name)
    return [(one.deployment.name, one.deployment.upstream_model) for one in route.targets.all()]


def refused(code, function, *args, **fields):
    with pytest.raises(InvalidRequest) as refusal:
        function(*args, **fields)
    assert refusal.value.code == code
    return refusal.value


def test_the_first_request_makes_the_model_with_a_deployment_of_its_own(acme):
    there = wildcard(strategy="round_robin", max_tries=3)
    limits.create_limit(OPERATOR, there.targets.get().deployment, "40/min")
    job = ask(acme, SONNET)
    made = ModelRoute.objects.get(name=SONNET)
    assert (job.model, job.max_tries, made.strategy, made.wildcard) == (SONNET, 3, "round_robin", there)
    assert leads_to(SONNET) == [("openrouter-any-anthropic-claude-sonnet-4-5", "anthropic/claude-sonnet-4.5")]
    assert [one.amount for one in made.targets.get().deployment.limits.all()] == [40]
    ask(acme, SONNET)
    assert ModelRoute.objects.filter(name=SONNET).count() == 1
    assert set(AuditEntry.objects.filter(by="wildcard openrouter/*").values_list("kind", "name")) == {
        ("model", SONNET),
        ("deployment", "openrouter-any-anthropic-claude-sonnet-4-5"),
    }


def test_the_longest_wildcard_makes_it_also_when_a_wider_one_did_before(acme):
    wildcard()
    ask(acme, SONNET)
    ask(acme, "openrouter/meta/llama")
    narrow = wildcard("openrouter/anthropic/*", "claude/*", account("other"))
    assert leads_to(SONNET) == [("openrouter-anthropic-any-claude-sonnet-4-5", "claude/claude-sonnet-4.5")]
    ask(acme, "openrouter/anthropic/opus")
    assert set(narrow.followers.values_list("name", flat=True)) == {SONNET, "openrouter/anthropic/opus"}
    assert leads_to("openrouter/meta/llama") == [("openrouter-any-meta-llama", "meta/llama")]


def test_what_rolls_back_was_never_made_and_is_made_again(acme):
    wildcard()
    version = ConfigVersion.current()
    with transaction.atomic():
        assert ask(acme, SONNET).model == SONNET
        assert SONNET in wiring.directory().routes
        assert wiring.directory().version <= version, "what others keep by a version is not told of one that may roll back"
        transaction.set_rollback(True)
    assert SONNET not in wiring.directory().routes
    assert not ModelRoute.objects.filter(name=SONNET).exists()
    assert ask(acme, SONNET).model == SONNET


def test_who_only_asks_makes_nothing(acme):
    wildcard()
    refused("unknown_model", places_of, SONNET, acme.tenant.pk, adopts=False)
    assert not ModelRoute.objects.filter(name=SONNET).exists()


@pytest.mark.parametrize("rest", ["../x", "a/../b", "/a", "a//b", "-a", "a?b", "a b", "x" * 120])
def test_a_rest_that_no_provider_may_get_is_no_model(acme, rest):
    wildcard(upstream="long/enough/*")
    refused("unknown_model", places_of, f"openrouter/{rest}", acme.tenant.pk)
    assert not ModelRoute.objects.filter(wildcard__isnull=False).exists()


def test_a_wildcard_at_an_account_of_one_tenant_is_unknown_to_others(acme):
    wildcard(of=account(tenant=acme.tenant))
    other = add_tenant("other")
    assert "openrouter" not in str(refused("unknown_model", places_of, "openrouter/nothing", other.tenant.pk)).partition("are:")[2]
    assert not ModelRoute.objects.filter(wildcard__isnull=False).exists(), "who may not use it makes nothing of it"
    ask(acme, SONNET)
    told = refused("unknown_model", places_of, SONNET, other.tenant.pk)
    assert "openrouter" not in str(told).partition("are:")[2]


def test_a_full_wildcard_makes_no_more_and_says_what_to_do(acme, monkeypatch):
    monkeypatch.setattr(adopting, "MOST_FOLLOWERS", 1)
    wildcard()
    ask(acme, "openrouter/a")
    assert "deletes some" in str(refused("wildcard_full", ask, acme, "openrouter/b"))
    models.delete_model(OPERATOR, ModelRoute.objects.get(name="openrouter/a"))
    assert not Deployment.objects.filter(name="openrouter-any-a").exists()
    wiring.forget_directory()
    ask(acme, "openrouter/b")


def test_what_follows_a_wildcard_is_changed_with_it(acme):
    there = wildcard()
    ask(acme, SONNET)
    more = deployments.create_deployment(OPERATOR, account=account("second"), name="second", upstream_model="x/*", region="eu")
    changed = models.change_model(
        OPERATOR,
        there,
        deployments=[more, there.targets.get().deployment],
        after_ms={"openrouter-any": 500},
        strategy="weighted",
        regions=["eu"],
        fallbacks=[{"on": "any", "to": CHAT_MODEL}],
    )
    made = ModelRoute.objects.get(name=SONNET)
    assert [name for name, _ in leads_to(SONNET)] == ["second-anthropic-claude-sonnet-4-5", "openrouter-any-anthropic-claude-sonnet-4-5"]
    assert (made.strategy, made.regions, made.fallbacks.get().to.name) == ("weighted", ["eu"], CHAT_MODEL)
    assert list(made.targets.values_list("after_ms", flat=True)) == [0, 500]
    models.change_model(OPERATOR, changed, fallbacks=[{"on": "any", "to": SONNET}])
    assert not made.fallbacks.exists(), "no model falls back to itself"
    deployments.change_deployment(OPERATOR, more, weight=7, options={"a": 1})
    assert list(more.followers.values_list("weight", "options")) == [(7, {"a": 1})]
    models.change_model(OPERATOR, changed, is_enabled=False)
    made.refresh_from_db()
    assert not made.is_enabled
    wiring.forget_directory()
    refused("unknown_model", places_of, SONNET, acme.tenant.pk)


def test_a_model_that_a_person_changes_follows_its_wildcard_no_more(acme):
    there = wildcard()
    ask(acme, SONNET)
    models.change_model(OPERATOR, ModelRoute.objects.get(name=SONNET), is_enabled=True)
    assert ModelRoute.objects.get(name=SONNET).wildcard == there
    models.change_model(OPERATOR, ModelRoute.objects.get(name=SONNET), is_enabled=False)
    models.change_model(OPERATOR, there, is_enabled=False)
    models.change_model(OPERATOR, there, is_enabled=True)
    wiring.forget_directory()
    refused("unknown_model", places_of, SONNET, acme.tenant.pk)


def test_what_followed_a_wildcard_that_goes_takes_no_work(acme):
    there = wildcard()
    ask(acme, SONNET)
    of_wildcard = there.targets.get().deployment
    models.delete_model(OPERATOR, there)
    made = ModelRoute.objects.get(name=SONNET)
    assert (made.is_enabled, made.wildcard) == (False, None)
    deployments.delete_deployment(OPERATOR, of_wildcard)
    assert list(Deployment.objects.filter(name__startswith="openrouter").values_list("is_enabled", "wildcard")) == [(False, None)]


def test_a_star_has_its_place_and_no_other(acme):
    there = wildcard()
    plain = Deployment.objects.exclude(pk=there.targets.get().deployment_id).first()
    of_wildcard = there.targets.get().deployment
    assert refused("invalid_field", models.create_model, OPERATOR, name="m/*", deployments=[plain]).pointer == "/deployments/0"
    assert refused("invalid_field", models.create_model, OPERATOR, name="m", deployments=[of_wildcard]).pointer == "/deployments/0"
    assert refused("invalid_field", models.change_model, OPERATOR, there, name="other/*").pointer == "/name"
    for name in ("*", "m*", "m/*/x", "*/m", "m/**"):
        assert refused("invalid_field", models.create_model, OPERATOR, name=name, deployments=[of_wildcard]).pointer == "/name"
    change = deployments.change_deployment
    assert refused("invalid_field", change, OPERATOR, plain, upstream_model="a/*").pointer == "/upstream_model"
    assert refused("invalid_field", change, OPERATOR, of_wildcard, upstream_model="*/*").pointer == "/upstream_model"
    lead = [{"on": "any", "to": "openrouter/*"}]
    route = ModelRoute.objects.get(name=CHAT_MODEL)
    assert refused("invalid_field", models.change_model, OPERATOR, route, fallbacks=lead).pointer == "/fallbacks/0/to"


def test_the_gate_hears_of_no_wildcard(acme):
    there = wildcard()
    ask(acme, SONNET)
    models.change_model(OPERATOR, wildcard("x/*", "*", account("other")), is_enabled=False)
    models.delete_model(OPERATOR, wildcard("y/*", "*", account("third")))
    names = {record.name for record in wiring.whole_configuration().models}
    assert SONNET in names
    assert not any("*" in name for name in names)
    assert there.targets.get().deployment_id not in wiring.directory().places


def test_names_of_deployments_stay_apart_and_short(acme):
    wildcard()
    names = [f"openrouter/{'a' * 90}{end}" for end in ("1", "2")] + ["openrouter/x.y", "openrouter/x-y"]
    for name in names:
        ask(acme, name)
    found = [leads_to(name)[0][0] for name in names]
    assert len(set(found)) == 4
    assert all(len(name) <= 64 for name in found)


# ---- at the doors


@pytest.mark.long
def test_callers_see_the_pattern_and_what_they_name(acme):
    wildcard()
    ask(acme, SONNET)
    api = Api(acme.secret)
    listed = [one["id"] for one in api.get("/api/v1/models").json()["data"]]
    assert "openrouter/*" in listed
    assert SONNET not in listed
    assert api.get(f"/api/v1/models/{SONNET}").json()["id"] == SONNET


@pytest.mark.long
def test_a_keys_rules_may_be_patterns(acme):
    wildcard()
    api = Api(issue_key(acme.tenant, "ruled", allowed_models=["openrouter/anthropic/*"])[1])
    assert api.submit({"model": SONNET, **HELLO}).status_code == 202
    for model in ("openrouter/meta/llama", CHAT_MODEL, "openrouter/anthropic/"):
        problem_of(api.submit({"model": model, **HELLO}), 403, "model_not_allowed")
    assert not ModelRoute.objects.filter(name="openrouter/meta/llama").exists()


@pytest.mark.long
def test_a_tenant_is_not_told_what_others_made_of_a_wildcard(acme):
    wildcard()
    ask(acme, SONNET)
    key = issue_key(acme.tenant, "boss", permissions=["read", "manage"])[1]
    operator = Api(issue_key(add_tenant("house").tenant, "ops", is_operator=True)[1])
    names = [one["name"] for one in Api(key).get("/api/v1/manage/models").json()["data"]]
    assert "openrouter/*" in names
    assert SONNET not in names
    assert Api(key).get(f"/api/v1/manage/models/{SONNET}").status_code == 404
    assert operator.get(f"/api/v1/manage/models/{SONNET}").json()["wildcard"] == "openrouter/*"


def test_a_key_is_made_with_patterns_that_mean_something_and_with_no_more_than_its_maker_has(acme):
    wildcard()
    maker, _ = issue_key(
        acme.tenant, "boss", permissions=["manage", "read", "submit"], allowed_models=["openrouter/anthropic/*", CHAT_MODEL]
    )
    actor = Actor("key boss", acme.tenant, key=maker)
    narrower = ["openrouter/anthropic/x", "openrouter/anthropic/y/*"]
    assert keys.create_key(OPERATOR, acme.tenant, name="a", allowed_models=["openrouter/*", "openrouter/new"])
    assert keys.create_key(actor, acme.tenant, name="b", allowed_models=narrower)
    with pytest.raises(NotAllowed):
        keys.create_key(actor, acme.tenant, name="c", allowed_models=["openrouter/*"])
    wrong = refused("invalid_field", keys.create_key, OPERATOR, acme.tenant, name="d", allowed_models=["nobody/*", "nothing"])
    assert [pointer for pointer, _ in wrong.errors] == ["/allowed_models/0", "/allowed_models/1"]


# ---- what a deployment is, where its provider's name does not say it


def test_a_deployment_costs_what_its_base_model_costs(acme):
    Price.objects.create(provider="azure", model="gpt-5.4-mini", valid_from="2020-01-01T00:00Z", input_pico=250_000)
    Price.objects.create(provider="azure", model="named-like-another", valid_from="2020-01-01T00:00Z", input_pico=1)
    there = ProviderAccount.objects.create(name="eu", provider="azure", base_url="https://eu.example")
    names = {"chat-eu": {"base_model": "gpt-5.4-mini"}, "named-like-another": {"base_model": "gpt-5.4-mini"}, "nobody-knows": {}}
    rows = {name: Deployment.objects.create(account=there, name=name, upstream_model=name, options=said) for name, said in names.items()}
    wiring.forget_directory()
    places = wiring.directory().places
    found = {name: (places[row.pk].is_priced, places[row.pk].price.input_pico) for name, row in rows.items()}
    assert found == {"chat-eu": (True, 250_000), "named-like-another": (True, 250_000), "nobody-knows": (False, 0)}
    assert not any("chat-eu" in finding.what for finding in doctor_prices.look())
