"""How a model chooses, changed by REST and by the shell: what is told is what is kept, and what cannot be is refused by its field."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from rateguard import wiring
from rateguard.engine.routing.contract import Strategy
from tenants.models import AuditEntry, Deployment, ModelRoute, RouteFallback, RouteTarget
from tenants.routing import Fallback
from tests.api import problem_of
from tests.managing import globex, operator, own  # noqa: F401
from tests.tenancy import CHAT_MODEL, EMBEDDING_MODEL, acme  # noqa: F401

MINI, EMBED = "gpt-5-4-mini", "text-embedding-3-small"
WHOLE = {
    "name": "small",
    "deployments": [MINI, EMBED],
    "strategy": "weighted",
    "regions": ["eu", "us"],
    "weights": {MINI: 3},
    "after_ms": {EMBED: 5_000},
    "fallbacks": [{"on": "context_too_long", "to": CHAT_MODEL}, {"on": "any", "to": EMBEDDING_MODEL}],
    "max_fallbacks": 1,
    "is_sticky": True,
    "hedges": True,
}


@pytest.fixture
def regions(acme):
    Deployment.objects.filter(name=MINI).update(region="eu")
    Deployment.objects.filter(name=EMBED).update(region="us", weight=7)


def counts():
    return [model.objects.count() for model in (ModelRoute, RouteTarget, RouteFallback, AuditEntry)]


def test_a_model_keeps_all_that_was_said_of_its_choice_and_the_directory_knows_it(operator, regions):
    made = operator.made("models", WHOLE)
    assert {name: made[name] for name in WHOLE} == WHOLE
    mini, embed = (Deployment.objects.get(name=name).pk for name in (MINI, EMBED))
    found = wiring.directory().routing["small"]
    assert (found.strategy, found.regions, found.weights, found.after_ms) == (
        Strategy.WEIGHTED,
        ("eu", "us"),
        {mini: 3, embed: 7},
        {mini: 0, embed: 5_000},
    )
    assert (found.max_fallbacks, found.is_sticky, found.hedges) == (1, True, True)
    assert found.fallbacks_on("context_too_long") == (CHAT_MODEL, EMBEDDING_MODEL)
    assert found.fallbacks_on("server") == (EMBEDDING_MODEL,)
    assert found.fallbacks[0] == Fallback("context_too_long", CHAT_MODEL)


def test_a_change_of_one_thing_leaves_the_others_and_the_audit_tells_it(operator, regions):
    operator.made("models", WHOLE)
    changed = operator.ask("patch", "models/small", {"deployments": [EMBED, MINI]}).json()
    assert {name: changed[name] for name in WHOLE} == {**WHOLE, "deployments": [EMBED, MINI]}
    changed = operator.ask("patch", "models/small", {"weights": {}, "fallbacks": [], "strategy": "balanced"}).json()
    assert (changed["weights"], changed["fallbacks"], changed["after_ms"]) == ({}, [], {EMBED: 5_000})
    line = AuditEntry.objects.order_by("-pk").first()
    assert set(line.changes) == {"weights", "fallbacks", "strategy"}
    operator.ask("patch", "models/small", {"deployments": [MINI], "weights": {}})
    assert operator.ask("get", "models/small").json()["after_ms"] == {}


REFUSED = [
    ({"strategy": "best"}, "invalid_field", "/strategy"),
    ({"regions": ["mars"]}, "invalid_field", "/regions/0"),
    ({"regions": ["eu", "eu"]}, "invalid_field", "/regions"),
    ({"weights": {MINI: 0}}, "invalid_field", f"/weights/{MINI}"),
    ({"weights": {MINI: 1_001}}, "invalid_field", f"/weights/{MINI}"),
    ({"weights": {"none": 5}}, "invalid_field", "/weights/none"),
    ({"after_ms": {MINI: 86_400_001}}, "invalid_field", f"/after_ms/{MINI}"),
    ({"after_ms": {"none": 5}}, "invalid_field", "/after_ms/none"),
    ({"weights": {"a/b~" + "c" * 1_000: 5}}, "invalid_field", "/weights/a~1b~0" + "c" * 96),
    ({"max_fallbacks": 11}, "invalid_field", "/max_fallbacks"),
    ({"is_sticky": 1}, "invalid_field", "/is_sticky"),
    ({"fallbacks": [{"on": "any", "to": "none"}]}, "unknown_model", "/fallbacks/0/to"),
    ({"fallbacks": [{"on": "any", "to": CHAT_MODEL}]}, "invalid_field", "/fallbacks/0/to"),
    ({"fallbacks": [{"on": "rain", "to": EMBEDDING_MODEL}]}, "invalid_field", "/fallbacks/0/on"),
    ({"fallbacks": [{"on": "any", "to": EMBEDDING_MODEL}] * 2}, "invalid_field", "/fallbacks/1"),
    ({"fallbacks": [{"on": "any", "to": EMBEDDING_MODEL, "when": "now"}]}, "unknown_field", "/fallbacks/when"),
    ({"name": "small!-7"}, "invalid_field", "/name"),
]


def test_what_cannot_be_is_refused_by_its_field_and_nothing_is_written(operator, regions):
    before = counts()
    for fields, code, pointer in REFUSED:
        problem = problem_of(operator.ask("patch", f"models/{CHAT_MODEL}", fields), 400, code)
        assert [one["pointer"] for one in problem["errors"]] == [pointer], fields
        assert problem["detail"]
    problem_of(operator.ask("post", "models", {**WHOLE, "fallbacks": [{"on": "any", "to": "small"}]}), 400, "invalid_field")
    assert counts() == before


def test_a_model_that_others_fall_back_to_is_not_deleted_and_a_disabled_one_is_no_fallback(operator, regions):
    operator.made("models", WHOLE)
    problem = problem_of(operator.ask("delete", f"models/{EMBEDDING_MODEL}"), 409, "in_use")
    assert "1 fallback (small on any) uses it" in problem["detail"]
    operator.ask("patch", f"models/{EMBEDDING_MODEL}", {"is_enabled": False})
    assert wiring.directory().routing["small"].fallbacks_on("server") == ()


def test_a_tenant_sees_no_weight_of_anothers_deployment(operator, own, globex):
    theirs = {"weights": {"globex-mini": 5, MINI: 2}, "after_ms": {"globex-mini": 9}}
    assert operator.ask("patch", f"models/{CHAT_MODEL}", theirs).json()["weights"] == {"globex-mini": 5, MINI: 2}
    seen = own.ask("get", f"models/{CHAT_MODEL}").json()
    assert (seen["deployments"], seen["weights"], seen["after_ms"]) == ([MINI], {MINI: 2}, {})


def test_the_database_itself_refuses_what_is_out_of_range(acme):
    route = ModelRoute.objects.get(name=CHAT_MODEL)
    other = ModelRoute.objects.get(name=EMBEDDING_MODEL)
    for write in (
        lambda: ModelRoute.objects.filter(pk=route.pk).update(strategy="best"),
        lambda: ModelRoute.objects.filter(pk=route.pk).update(max_fallbacks=11),
        lambda: route.targets.update(weight=0),
        lambda: route.targets.update(after_ms=86_400_001),
        lambda: RouteFallback.objects.create(route=route, on="any", to=route),
        lambda: RouteFallback.objects.create(route=route, on="rain", to=other),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            write()


def told(*words):
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_the_shell_says_all_that_rest_does(acme, regions):
    how = ("--strategy", "weighted", "--region", "eu", "--region", "us", "--weight", f"{MINI}=3", "--after-ms", f"{EMBED}=5000")
    errors = ("--fallback", f"context_too_long={CHAT_MODEL}", "--fallback", f"any={EMBEDDING_MODEL}", "--max-fallbacks", "1")
    flags = ("--is-sticky", "yes", "--hedges", "yes")
    made = json.loads(told("model", "create", "small", "--deployment", MINI, "--deployment", EMBED, *how, *errors, *flags, "--json"))
    assert {name: made[name] for name in WHOLE} == WHOLE
    assert told("model", "create", "plain", "--deployment", MINI).startswith("created model plain")
    changed = json.loads(told("model", "change", "small", "--weight", "none", "--fallback", "none", "--region", "none", "--json"))
    assert (changed["weights"], changed["fallbacks"], changed["regions"], changed["after_ms"]) == ({}, [], [], {EMBED: 5_000})
    for wrong in (
        ("--weight", "x"),
        ("--weight", f"{MINI}=1001"),
        ("--weight", "none", "--weight", f"{MINI}=3"),
        ("--fallback", "any"),
        ("--fallback", "any=no"),
        (),
    ):
        with pytest.raises(CommandError):
            told("model", "change", "small", *wrong)
    with pytest.raises(CommandError, match=f"{MINI}: write a whole number from 1 to 1000"):
        told("model", "change", "small", "--weight", f"{MINI}=1001")
