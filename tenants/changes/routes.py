"""Where a model leads and how: its deployments with their weights and waits, its regions, its fallbacks. Checked, then written with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rateguard.engine.errors import InvalidRequest
from tenants.changes.actor import gone
from tenants.changes.named import check_one_model
from tenants.changes.problems import as_invalid
from tenants.models import Deployment, ModelRoute, RouteFallback, RouteTarget
from tenants.models.providers import LONGEST_AFTER_MS
from tenants.models.tenant import MAX_WEIGHT
from tenants.routing import FALLBACK_KINDS

CHOOSING = ("strategy", "regions", "max_fallbacks", "is_sticky", "hedges")
"""Of a model's own row."""
PARTS = ("deployments", "weights", "after_ms", "fallbacks")
"""What has rows of its own; each is changed as a whole."""
MOST_DEPLOYMENTS = 100
MOST_FALLBACK_ROWS = 50
_MOST_TOLD, _MOST_WRONG = 100, 20
_RANGES = {"weights": (1, MAX_WEIGHT), "after_ms": (0, LONGEST_AFTER_MS)}


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What is asked for; None: as it is.

    deployments: the first one first. weights, after_ms: by the name (or number) of a deployment; one that is not named has its own weight,
    and takes work at once. fallbacks: `on` (an ErrorKind's value, or `any`) and `to` (a model's name), the first one first.
    has_regions: the row names regions that are to be checked.
    """

    deployments: Sequence[Deployment] | None = None
    weights: Mapping[str, int] | None = None
    after_ms: Mapping[str, int] | None = None
    fallbacks: Sequence[Mapping[str, str]] | None = None
    has_regions: bool = False


_Lead = tuple[int, int | None, int]
"""A deployment's id, its weight in this model, its wait."""


def deployments_of(row: ModelRoute) -> list[Deployment]:
    """Where a model leads, the first one first."""
    return [target.deployment for target in _targets(row)]


def weights_of(row: ModelRoute) -> dict[str, int]:
    """The weights that the model itself gives, by deployment."""
    return {target.deployment.name: target.weight for target in _targets(row) if target.weight is not None}


def waits_of(row: ModelRoute) -> dict[str, int]:
    """Those of its deployments that are for overflow, with the wait, ms."""
    return {target.deployment.name: target.after_ms for target in _targets(row) if target.after_ms}


def fallbacks_of(row: ModelRoute) -> list[dict[str, str]]:
    """Its fallbacks, the first one first."""
    return [{"on": one.on, "to": one.to.name} for one in sorted(row.fallbacks.all(), key=lambda one: one.position)]


def shown_parts(row: ModelRoute) -> dict[str, Any]:
    """All of it, as people see it."""
    if not row.pk:
        return {"deployments": [], "weights": {}, "after_ms": {}, "fallbacks": []}
    return {
        "deployments": [one.name for one in deployments_of(row)],
        "weights": weights_of(row),
        "after_ms": waits_of(row),
        "fallbacks": fallbacks_of(row),
    }


def _targets(row: ModelRoute) -> list[RouteTarget]:
    return sorted(row.targets.all(), key=lambda target: target.position)


# ---- the deployments


def write_parts(row: ModelRoute, parts: Parts) -> None:
    """Lead there alone and in this way; where it does already, nothing is written. Raises InvalidRequest, which names the part."""
    there = _targets(row)
    chosen = [target.deployment for target in there] if parts.deployments is None else _locked(parts.deployments)
    if parts.has_regions:
        _check_regions(row, chosen)
    old = [(target.deployment_id, target.weight, target.after_ms) for target in there]
    if (new := _leads(chosen, there, parts)) != old:
        row.targets.all().delete()
        RouteTarget.objects.bulk_create(
            RouteTarget(route=row, deployment_id=pk, position=place, weight=weight, after_ms=after_ms)
            for place, (pk, weight, after_ms) in enumerate(new)
        )
    if parts.fallbacks is not None:
        _write_fallbacks(row, parts.fallbacks)


def _leads(chosen: Sequence[Deployment], there: Iterable[RouteTarget], parts: Parts) -> list[_Lead]:
    """Where the model is to lead. What nobody speaks of stays as it is."""
    known = {target.deployment_id: target for target in there}
    weights = {pk: one.weight for pk, one in known.items()} if parts.weights is None else _figures("weights", parts.weights, chosen)
    waits = {pk: one.after_ms for pk, one in known.items()} if parts.after_ms is None else _figures("after_ms", parts.after_ms, chosen)
    return [(one.pk, weights.get(one.pk), waits.get(one.pk, 0)) for one in chosen]


def _figures(field: str, given: Mapping[str, int], chosen: Iterable[Deployment]) -> dict[int, int]:
    """By deployment's id. Raises InvalidRequest for every name that is not there and every figure out of range."""
    pks = {name: one.pk for one in chosen for name in (str(one.pk), one.name)}
    least, most = _RANGES[field]
    wrong = [(name, f"the model does not lead to {name[:_MOST_TOLD]}: name it under deployments") for name in given if name not in pks]
    wrong += [
        (name, f"{name}: write a whole number from {least} to {most}")
        for name, value in given.items()
        if name in pks and (type(value) is not int or not least <= value <= most)
    ]
    if wrong:
        raise as_invalid([(f"{field}/{_in_pointer(name)}", said) for name, said in wrong[:_MOST_WRONG]])
    return {pks[name]: value for name, value in given.items()}


def _in_pointer(name: str) -> str:
    """A key as a JSON pointer (RFC 6901) writes it."""
    return name[:_MOST_TOLD].replace("~", "~0").replace("/", "~1")


def _locked(deployments: Sequence[Deployment]) -> list[Deployment]:
    pks = [one.pk for one in deployments]
    if len(set(pks)) != len(pks) or not 1 <= len(pks) <= MOST_DEPLOYMENTS:
        raise as_invalid([("deployments", f"name 1 to {MOST_DEPLOYMENTS} deployments, each one once")])
    found = Deployment.objects.select_for_update().order_by("pk").in_bulk(pks)
    if len(found) != len(pks):
        raise gone("deployment")
    return [found[pk] for pk in pks]


def _check_regions(row: ModelRoute, chosen: Iterable[Deployment]) -> None:
    """A region that none of them is in prefers nobody: most likely a slip."""
    there = {one.region for one in chosen} - {""}
    wrong = [(f"regions/{place}", one) for place, one in enumerate(row.regions) if one not in there]
    if wrong:
        known = f"they are in {', '.join(sorted(there))}" if there else "none of them says where it is"
        raise as_invalid([(field, f"none of the model's deployments is in {name!r}: {known}") for field, name in wrong])


# ---- the fallbacks


def _write_fallbacks(row: ModelRoute, given: Sequence[Mapping[str, str]]) -> None:
    """These alone, in this order; where they are there already, nothing is written."""
    wanted = _checked(row, given)
    if [(one.on, one.to_id) for one in sorted(row.fallbacks.all(), key=lambda one: one.position)] == wanted:
        return
    row.fallbacks.all().delete()
    RouteFallback.objects.bulk_create(RouteFallback(route=row, on=on, to_id=to, position=place) for place, (on, to) in enumerate(wanted))


def _checked(row: ModelRoute, given: Sequence[Mapping[str, str]]) -> list[tuple[str, int]]:
    """The kind of error and the model of each. Raises InvalidRequest: `invalid_field`, `unknown_model`."""
    if len(given) > MOST_FALLBACK_ROWS:
        raise as_invalid([("fallbacks", f"at most {MOST_FALLBACK_ROWS} fallbacks")])
    known = dict(ModelRoute.objects.select_for_update().filter(name__in=[one["to"] for one in given]).values_list("name", "pk"))
    found: list[tuple[str, int]] = []
    for place, one in enumerate(given):
        on, to = one["on"], one["to"]
        if on not in FALLBACK_KINDS:
            raise as_invalid([(f"fallbacks/{place}/on", f"write one of {', '.join(FALLBACK_KINDS)}")])
        if to == row.name or known.get(to) == row.pk:
            raise as_invalid([(f"fallbacks/{place}/to", "a model does not fall back to itself: name another")])
        if to not in known:
            raise InvalidRequest(f"there is no model {to!r}", code="unknown_model", pointer=f"/fallbacks/{place}/to")
        check_one_model(to, f"/fallbacks/{place}/to", "a model falls back to")
        if (on, known[to]) in found:
            raise as_invalid([(f"fallbacks/{place}", f"it stands above already: on {on} to {to}")])
        found.append((on, known[to]))
    return found
