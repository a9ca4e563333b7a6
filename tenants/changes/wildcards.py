"""What follows a wildcard: the models that were made from it are as it is, in where they lead, how they choose, whether they take work.

`openrouter/*` stands for every model that begins so; each one that is asked for is made a row of its own (see `adopting`).

A deployment of a wildcard has a `*` in its `upstream_model`; what follows it has what the `*` stands for, and a copy of its limits as they
were when it was made. All of it happens in the transaction of the change that it follows, in few statements for a thousand models.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db import models

from rateguard.conf import BREAKER_RANGES
from rateguard.engine.wildcards import END, STAR, filled, is_pattern, rest_of
from tenants.changes.problems import as_invalid
from tenants.changes.routes import CHOOSING
from tenants.models import Deployment, Limit, ModelRoute, RouteFallback, RouteTarget
from tenants.models.providers import RETRY_RANGES
from tenants.notation import LimitValue
from tenants.signals import told_as_one

OF_MODELS = ("is_enabled", *CHOOSING, *RETRY_RANGES)
"""What a model has of its wildcard, beside where it leads and its fallbacks."""
OF_DEPLOYMENTS = ("region", "weight", "is_enabled", "options", *(f"breaker_{name}" for name in BREAKER_RANGES))
"""What a deployment has of its wildcard's, beside the account."""
MOST_SLUG_CHARS = 64
_OF_LIMITS = tuple(field.name for field in dataclasses.fields(LimitValue))
_NOT_A_SLUG = re.compile(r"[^A-Za-z0-9_-]+")
_DIGEST_CHARS = 8


# ---- what may be a wildcard


def check_leads(row: ModelRoute) -> None:
    """A wildcard leads to deployments with a `*` alone, and nothing else does. Raises InvalidRequest, which names what does not fit."""
    told = (
        f"models that end in {END} lead to deployments whose upstream_model holds a {STAR}"
        if is_pattern(row.name)
        else f"its upstream_model holds a {STAR}: only a model that ends in {END} leads to it"
    )
    there = enumerate(row.targets.select_related("deployment").order_by("position"))
    wrong = [(f"deployments/{place}", told) for place, one in there if (STAR in one.deployment.upstream_model) != is_pattern(row.name)]
    if wrong:
        raise as_invalid(wrong)


def check_renamed(row: ModelRoute, name: str) -> None:
    """What follows a wildcard has its name from it. Raises InvalidRequest for another name of, or for, a wildcard."""
    if is_pattern(row.name) or is_pattern(name):
        raise as_invalid([("name", f"a model that ends in {END} keeps its name, and no other gets one: make a new model")])


def check_upstream(text: str, row: Deployment | None = None) -> None:
    """What a provider calls a model holds one `*` at most, and gets or loses it only while nothing leads there. Raises InvalidRequest."""
    if text.count(STAR) > 1:
        raise as_invalid([("upstream_model", f"one {STAR} at most: it stands for what callers write after the model's name")])
    if row is None or text == row.upstream_model or STAR not in text + row.upstream_model:
        return
    if row.targets.exists() or row.followers.exists():
        raise as_invalid([("upstream_model", f"models lead here by its {STAR}: make another deployment, and let them lead there")])


# ---- what follows


def carry(wildcard: ModelRoute) -> None:
    """A wildcard was made or changed: what follows it is as it is now. An enabled one takes over what followed a wider one."""
    with told_as_one():
        if wildcard.is_enabled:
            _take_over(wildcard)
        if followers := list(wildcard.followers.order_by("pk")):
            wildcard.followers.update(**{name: getattr(wildcard, name) for name in OF_MODELS})
            lead_as(wildcard, followers)


def carry_deployment(row: Deployment, fields: Collection[str]) -> None:
    """Some fields of a wildcard's deployment were changed: what follows it has them too."""
    changed = {name: getattr(row, name) for name in OF_DEPLOYMENTS if name in fields}
    if changed and row.followers.exists():
        row.followers.update(**changed)


def let_go(row: ModelRoute | Deployment) -> None:
    """A wildcard goes: what follows it takes no work any more, and stays for people to see."""
    if row.followers.exists():
        row.followers.update(is_enabled=False, wildcard=None)


def _take_over(wildcard: ModelRoute) -> None:
    """Of all wildcards that stand for a name the longest holds."""
    begins = wildcard.name.removesuffix(STAR)
    others = ModelRoute.objects.filter(wildcard__isnull=False, name__startswith=begins).exclude(wildcard=wildcard)
    mine = [
        pk
        for pk, name, followed in others.values_list("pk", "name", "wildcard__name")
        if len(followed) < len(wildcard.name) and rest_of(wildcard.name, name) is not None
    ]
    if mine:
        ModelRoute.objects.filter(pk__in=mine).update(wildcard=wildcard)


def lead_as(wildcard: ModelRoute, routes: Sequence[ModelRoute]) -> list[Deployment]:
    """Let models of a wildcard lead where it does, and fall back where it does. Returns the deployments that had to be made."""
    targets = list(wildcard.targets.select_related("deployment").order_by("position"))
    fallbacks = list(wildcard.fallbacks.order_by("position"))
    rests = {route: rest_of(wildcard.name, route.name) or "" for route in routes}
    there, made = _deployments_for([one.deployment for one in targets], rests.values())
    _write_anew(
        RouteTarget,
        routes,
        (
            RouteTarget(route=route, deployment=there[one.deployment_id, rest], **_same(one, "position", "weight", "after_ms"))
            for route, rest in rests.items()
            for one in targets
        ),
    )
    kept = ((route, one) for route in routes for one in fallbacks if one.to_id != route.pk)
    _write_anew(RouteFallback, routes, (RouteFallback(route=route, **_same(one, "position", "on", "to_id")) for route, one in kept))
    return made


def _write_anew(kind: type[RouteTarget | RouteFallback], routes: Sequence[ModelRoute], rows: Iterable[Any]) -> None:
    """These in place of those that there are."""
    old = kind._default_manager.filter(route__in=routes)  # noqa: SLF001 - Django's own name for it
    old._raw_delete(old.db)  # noqa: SLF001 - a signal for each of thousands would write the gate's configuration as often
    if anew := list(rows):
        kind._default_manager.bulk_create(anew)  # noqa: SLF001 - as above


def _same(row: models.Model, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


# ---- deployments

_ByRest = dict[tuple[int, str], Deployment]
"""By the id of the wildcard's deployment and what its `*` stands for."""


def _deployments_for(origins: Sequence[Deployment], rests: Collection[str]) -> tuple[_ByRest, list[Deployment]]:
    """What follows each of a wildcard's deployments, and which of it was made just now."""
    known = {(one.wildcard_id, one.upstream_model): one for one in Deployment.objects.filter(wildcard__in=origins)}
    wanted = {(origin.pk, rest): (origin, filled(origin.upstream_model, rest)) for origin in origins for rest in rests}
    found = {key: known[key[0], upstream] for key, (_, upstream) in wanted.items() if (key[0], upstream) in known}
    missing = {key: one for key, one in wanted.items() if key not in found}
    names = _free_names({key: (f"{origin.name}-{key[1]}", f"{origin.pk} {upstream}") for key, (origin, upstream) in missing.items()})
    made = {
        key: Deployment(
            account_id=origin.account_id, name=names[key], upstream_model=upstream, wildcard=origin, **_same(origin, *OF_DEPLOYMENTS)
        )
        for key, (origin, upstream) in missing.items()
    }
    if made:
        Deployment.objects.bulk_create(made.values())
        _copy_limits(made.values())
    return found | made, list(made.values())


def _free_names(asked: Mapping[tuple[int, str], tuple[str, str]]) -> dict[tuple[int, str], str]:
    """A name for each that no deployment has: readable, and where it is too long or taken, with a digest of what it stands for."""
    slugs = {key: _NOT_A_SLUG.sub("-", text) for key, (text, _) in asked.items()}
    taken = set(Deployment.objects.filter(name__in=slugs.values()).values_list("name", flat=True))
    found: dict[tuple[int, str], str] = {}
    for key, slug in slugs.items():
        name = slug
        if len(slug) > MOST_SLUG_CHARS or slug in taken:
            digest = hashlib.sha256(asked[key][1].encode()).hexdigest()[:_DIGEST_CHARS]
            name = f"{slug[: MOST_SLUG_CHARS - _DIGEST_CHARS - 1]}-{digest}"
        taken.add(name)
        found[key] = name
    return found


def _copy_limits(made: Collection[Deployment]) -> None:
    """What the provider allows each model of a wildcard, it allows each for itself."""
    rows = list(Limit.objects.filter(deployment__in={one.wildcard_id for one in made}))
    copies = [Limit(deployment=one, **_same(row, *_OF_LIMITS)) for one in made for row in rows if row.deployment_id == one.wildcard_id]
    if copies:
        Limit.objects.bulk_create(copies)
