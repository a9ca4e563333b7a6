"""Limits, as people type them: `600/min`, on a node, a provider account or a deployment."""

from __future__ import annotations

import dataclasses
from typing import Any

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane
from tenants.changes.actor import Actor
from tenants.changes.rows import Kind, change, fresh, in_one_transaction, insert, remove
from tenants.changes.scopes import kept, words_of
from tenants.models import Deployment, Limit, LimitKind, Metric, ProviderAccount, Scope, Tenant
from tenants.notation import LimitValue, format_limit, parse_limit

LONGEST_TEXT = 200
_VALUES = tuple(field.name for field in dataclasses.fields(LimitValue))


def text_of(row: Limit) -> str:
    """A limit as people type it."""
    lane = None if row.reserve_lane is None else Lane(row.reserve_lane)
    value = LimitValue(row.amount, Metric(row.metric), LimitKind(row.kind), row.window_ms, row.burst_permille, row.reserve_permille, lane)
    return format_limit(value)


def place_of(row: Limit) -> str:
    """What a limit is on, in words."""
    if row.scope is not None:
        return words_of(row.scope)
    return f"account {row.account}" if row.account else f"deployment {row.deployment}"


def tenant_of(row: Limit) -> Tenant | None:
    """Whose limit it is; None for one that all tenants share."""
    if row.scope is not None:
        return row.scope.tenant
    account = row.account or (row.deployment.account if row.deployment else None)
    return account.tenant if account else None


KIND = Kind(
    "limit",
    shown=lambda row: {"on": place_of(row), "limit": text_of(row)},
    tenant_of=tenant_of,
    fields=_VALUES,
    called=dict.fromkeys((*_VALUES, "scope", "account", "deployment"), "limit"),
    label=lambda row: f"{text_of(row)} on {place_of(row)}",
)


@in_one_transaction
def create_limit(actor: Actor, on: Scope | ProviderAccount | Deployment, text: str) -> Limit:
    """A new limit. Raises InvalidRequest (`bad_limit`; `name_taken` where there is one of the metric and window), NotAllowed."""
    _check_reach(actor, on)
    value = _parsed(text)
    match on:
        case Scope():
            row = Limit(scope=kept(on), **value)
        case ProviderAccount():
            row = Limit(account=fresh(on, "account"), **value)
        case Deployment():
            row = Limit(deployment=fresh(on, "deployment"), **value)
    return insert(actor, KIND, row)


@in_one_transaction
def change_limit(actor: Actor, limit: Limit, text: str) -> Limit:
    """Write a limit anew. What is used stays used, where the metric and the window stay."""
    row = fresh(limit, KIND.name)
    _check_reach(actor, _on(row))
    return change(actor, KIND, row, _parsed(text))


@in_one_transaction
def delete_limit(actor: Actor, limit: Limit) -> None:
    """Take a limit away. What waited for it goes on."""
    row = fresh(limit, KIND.name)
    _check_reach(actor, _on(row))
    remove(actor, KIND, row)


def _on(row: Limit) -> Scope | ProviderAccount | Deployment:
    found = row.scope or row.account or row.deployment
    if found is None:
        raise AssertionError("the database lets no limit be on nothing")
    return found


def _check_reach(actor: Actor, on: Scope | ProviderAccount | Deployment) -> None:
    match on:
        case Scope():
            actor.check_scope(on)
        case ProviderAccount():
            actor.check_of(on.tenant_id, "account")
        case Deployment():
            actor.check_of(on.account.tenant_id, "deployment")


def _parsed(text: str) -> dict[str, Any]:
    if len(text) > LONGEST_TEXT:
        raise InvalidRequest(f"a limit has at most {LONGEST_TEXT} characters, like 600/min", code="bad_limit", pointer="/limit")
    try:
        return dataclasses.asdict(parse_limit(text))
    except InvalidRequest as error:
        raise InvalidRequest(str(error), code=error.code, pointer="/limit") from None
