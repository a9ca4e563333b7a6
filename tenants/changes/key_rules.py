"""What a key may be made to do: its fields one by one, and never more than the key that makes it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from django.utils import timezone

from rateguard.engine.errors import InvalidRequest, NotAllowed
from rateguard.engine.lanes import Lane
from rateguard.engine.wildcards import covers, is_allowed, is_pattern
from tenants.changes.actor import Actor, bound_text
from tenants.changes.named import check_text
from tenants.changes.problems import as_invalid
from tenants.models import ModelRoute, Permission

MOST_NAME_CHARS = 64
MOST_MODELS = 200
BOUND_TO = ("team", "rolegroup", "role", "user", "cost_center")
"""What a key's requests can be charged to, whatever they say."""

Fields = Mapping[str, Any]


# ---- one by one


def check_fields(fields: Fields, given: set[str]) -> None:
    """Raise InvalidRequest for what no key can be, all fields at fault at once. fields: all of them; given: those that are new."""
    wrong: list[tuple[str, str]] = []
    for name, check in _CHECKS.items():
        if name not in given:
            continue
        try:
            check(fields[name])
        except InvalidRequest as error:
            wrong += [(pointer.removeprefix("/"), said) for pointer, said in error.errors]
    lanes = {"default_lane", "highest_lane"}
    if lanes & given and not lanes & {name for name, _ in wrong}:
        wrong += _lanes_that_do_not_fit(fields)
    if wrong:
        raise as_invalid(wrong)


def _name(value: Any) -> None:
    check_text(value, "/name", MOST_NAME_CHARS)


def _permissions(value: Any) -> None:
    if not value or len(set(value)) != len(value) or not set(value) <= set(Permission.values):
        raise as_invalid([("permissions", f"name one or more of {', '.join(Permission.values)}, each one once")])


def _allowed_models(value: Any) -> None:
    if len(value) > MOST_MODELS or len(set(value)) != len(value):
        raise as_invalid([("allowed_models", f"name at most {MOST_MODELS} models, each one once; none: all of them")])
    known = set(ModelRoute.objects.filter(name__in=value).values_list("name", flat=True))
    unknown = [(index, name) for index, name in enumerate(value) if name not in known]
    if unknown and (wrong := _meaning_nothing(unknown)):
        raise as_invalid(wrong)


def _meaning_nothing(unknown: list[tuple[int, str]]) -> list[tuple[str, str]]:
    """Of names that no model has, those under no wildcard, and patterns under which no model is."""
    names = list(ModelRoute.objects.values_list("name", flat=True))
    wildcards = [name for name in names if is_pattern(name)]
    return [
        (f"allowed_models/{index}", f"no model's name begins so: {name!r}" if is_pattern(name) else f"there is no model {name!r}")
        for index, name in unknown
        if not is_allowed(wildcards, name) and not (is_pattern(name) and any(covers(name, one) for one in names))
    ]


def _lane(name: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if value is not None and value not in list(Lane):
            raise as_invalid([(name, f"the lanes are {', '.join(lane.label for lane in Lane)}")])

    return check


def _bound(value: Any) -> None:
    if unknown := sorted(set(value) - set(BOUND_TO)):
        raise as_invalid([(f"bound/{name}", f"a key is bound to {', '.join(BOUND_TO)}") for name in unknown])
    for kind, name in value.items():
        check_text(name, f"/bound/{kind}")


def _expires_at(value: Any) -> None:
    if value is not None and value <= timezone.now():
        raise as_invalid([("expires_at", "this moment has passed; to end a key now, revoke it")])


_CHECKS: dict[str, Callable[[Any], None]] = {
    "name": _name,
    "permissions": _permissions,
    "allowed_models": _allowed_models,
    "default_lane": _lane("default_lane"),
    "highest_lane": _lane("highest_lane"),
    "bound": _bound,
    "expires_at": _expires_at,
}


def _lanes_that_do_not_fit(fields: Fields) -> list[tuple[str, str]]:
    default, highest = fields["default_lane"], fields["highest_lane"]
    if highest is None or default is None or default >= highest:
        return []
    return [("default_lane", f"this is above the highest lane, {Lane(highest).label}")]


# ---- never more than the key that makes it


def check_not_wider(actor: Actor, fields: Fields) -> None:
    """Raise NotAllowed for a key that may do more than the acting one, of the fields that are given. An operator makes any."""
    if actor.is_operator:
        return
    wider = [("is_operator", "only an operator makes operators' keys")] if fields["is_operator"] else []
    if actor.key is not None:
        asked = [(name, rule(getattr(actor.key, name), fields[name])) for name, rule in _RULES.items() if name in fields]
        wider += [(name, said) for name, said in asked if said]
    if wider:
        errors = [(f"/{name}", said) for name, said in wider]
        raise NotAllowed("; ".join(said for _, said in wider), code="forbidden", pointer=errors[0][0], errors=errors)


def _more_permissions(own: list[str], wanted: list[str]) -> str:
    more = [name for name in wanted if name not in own]
    return f"the key that makes this one may not {', '.join(more)} itself" if more else ""


def _more_models(own: list[str], wanted: list[str]) -> str:
    if not own or (wanted and all(is_allowed(own, name) for name in wanted)):
        return ""
    return f"the key that makes this one has these models alone: {', '.join(own)}; name some of them"


def _more_urgent(own: int | None, wanted: int | None) -> str:
    if own is None or (wanted is not None and wanted >= own):
        return ""
    return f"the key that makes this one goes up to lane {Lane(own).label}: name that one or a lower one"


def _less_bound(own: dict[str, str], wanted: dict[str, str]) -> str:
    if own.items() <= wanted.items():
        return ""
    return f"the key that makes this one is bound to {bound_text(own)}: bind this one to it, too"


def _longer(own: dt.datetime | None, wanted: dt.datetime | None) -> str:
    if own is None or (wanted is not None and wanted <= own):
        return ""
    return f"the key that makes this one expires at {own.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}: name that moment or an earlier one"


_RULES: dict[str, Callable[[Any, Any], str]] = {
    "permissions": _more_permissions,
    "allowed_models": _more_models,
    "highest_lane": _more_urgent,
    "bound": _less_bound,
    "expires_at": _longer,
}
