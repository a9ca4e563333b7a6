"""How a row is made, changed and deleted: under its lock, checked, and with the line of the audit in the same transaction."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from django.db import IntegrityError, models, transaction
from django.db.models import ProtectedError

from rateguard.engine.errors import InvalidRequest
from tenants.changes import audit
from tenants.changes.actor import Actor, gone
from tenants.changes.problems import check
from tenants.models import AuditAction, ConfigVersion, Tenant
from tenants.models.versions import ONLY_ID

MOST_NAMED, MOST_COUNTED = 3, 1_000

Row = TypeVar("Row", bound=models.Model)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """What the changes of one kind of row have in common.

    name: the API's word. shown: what people see of a row; the audit compares it. tenant_of: whose it is. fields: what can be changed.
    called: what callers call a field, where not as the row does. in_use: what to do where something stands on it. skip: fields that its
    own function checks.
    """

    name: str
    shown: Callable[[Any], dict[str, Any]]
    tenant_of: Callable[[Any], Tenant | None]
    fields: tuple[str, ...] = ()
    called: Mapping[str, str] = dataclasses.field(default_factory=dict)
    label: Callable[[Any], str] = str
    in_use: str = ""
    skip: frozenset[str] = frozenset()


def in_one_transaction(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """All of it or nothing, one after another. What the database refuses at the very end (somebody was quicker) is `in_use`.

    Each change ends by raising the configuration's version; who holds it from the start never waits for another who waits for it.
    """

    @functools.wraps(function)
    def inner(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            with transaction.atomic():
                ConfigVersion.objects.select_for_update().filter(pk=ONLY_ID).first()
                return function(*args, **kwargs)
        except IntegrityError:
            raise InvalidRequest("somebody changed what this hangs on in the same moment: look, and send it again", code="in_use") from None

    return inner


def fresh(row: Row, kind: str) -> Row:
    """The row as it is now, locked to the end of the transaction. Raises InvalidRequest: `not_found`."""
    found = type(row)._default_manager.select_for_update().filter(pk=row.pk).first()  # noqa: SLF001 - Django's own name for it
    if found is None:
        raise gone(kind)
    return found


def insert(actor: Actor, kind: Kind, row: Row, secrets: Iterable[str] = (), also: Callable[[Row], None] | None = None) -> Row:
    """Write a new row. also: writes what belongs to it. Raises InvalidRequest: `invalid_field`, `name_taken`."""
    check(row, kind.called, set(kind.skip))
    _save(row, force_insert=True)
    if also is not None:
        also(row)
    row.refresh_from_db()
    return noted(actor, kind, row, AuditAction.CREATED, after=kind.shown(row), secrets=secrets)


def change(
    actor: Actor,
    kind: Kind,
    row: Row,
    fields: Mapping[str, Any],
    secrets: Iterable[str] = (),
    also: Callable[[Row], None] | None = None,
) -> Row:
    """Write other values of some fields of a locked row; what changes nothing writes nothing.

    secrets: what is written, whatever it was. also: writes what belongs to the row. Raises as `insert`, and `unknown_field`.
    """
    before = kind.shown(row)
    for name, value in fields.items():
        if name not in kind.fields:
            raise InvalidRequest(f"what can be changed: {', '.join(kind.fields)}", code="unknown_field", pointer=f"/{name}")
        setattr(row, name, value)
    check(row, kind.called, set(kind.skip))
    if also is not None:
        also(row)
    after, told = kind.shown(row), tuple(secrets)
    if before == after and not told:
        return row
    _save(row, force_update=True)
    return noted(actor, kind, row, AuditAction.CHANGED, before=before, after=after, secrets=told)


def remove(actor: Actor, kind: Kind, row: models.Model) -> None:
    """Delete a locked row with what is part of it. Raises InvalidRequest: `in_use`, which says by what, and what to do instead."""
    before, named, tenant = kind.shown(row), (row.pk, kind.label(row)), kind.tenant_of(row)
    _check_unused(kind, row)
    try:
        with transaction.atomic():
            row.delete()
    except ProtectedError as error:
        found = list(error.protected_objects)
        raise InvalidRequest(f"{_users(found[:MOST_NAMED], len(found))} {kind.in_use}".strip(), code="in_use") from None
    owner = None if tenant is None or not Tenant.objects.filter(pk=tenant.pk).exists() else tenant
    audit.note(actor, AuditAction.DELETED, kind.name, named, tenant=owner, before=before)


def noted(actor: Actor, kind: Kind, row: Row, action: AuditAction, **told: Any) -> Row:
    """The row, with a line of the audit."""
    audit.note(actor, action, kind.name, (row.pk, kind.label(row)), tenant=kind.tenant_of(row), **told)
    return row


def _save(row: models.Model, *, force_insert: bool = False, force_update: bool = False) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=force_insert, force_update=force_update)
    except IntegrityError:
        raise InvalidRequest("somebody made the same in this moment: look, and change that one", code="name_taken") from None


def _check_unused(kind: Kind, row: models.Model) -> None:
    """Raise InvalidRequest where something stands on a row. Django itself would read all of it, and that may be a million jobs."""
    for relation in row._meta.related_objects:  # noqa: SLF001 - a model's public description
        if getattr(relation, "on_delete", None) is models.PROTECT:
            rows = relation.related_model._default_manager.filter(**{relation.field.name: row})  # noqa: SLF001 - Django's own name for it
            if count := rows[: MOST_COUNTED + 1].count():
                raise InvalidRequest(f"{_users(list(rows[:MOST_NAMED]), count)} {kind.in_use}".strip(), code="in_use")


def _users(named: list[models.Model], count: int) -> str:
    """What stands on a row: `3 deployments (a, b, c) use it:`. named: the first of them."""
    meta = named[0]._meta  # noqa: SLF001 - a model's public description
    what = str(meta.verbose_name if count == 1 else meta.verbose_name_plural)
    names = ", ".join(sorted(str(row) for row in named))
    counted = f"more than {MOST_COUNTED:,}" if count > MOST_COUNTED else f"{count:,}"
    return f"{counted} {what} ({names}{', …' if count > MOST_NAMED else ''}) {'uses' if count == 1 else 'use'} it:"
