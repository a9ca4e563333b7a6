"""The line that each change leaves. It never holds a secret, nor anything that can be reckoned from one."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from tenants.changes.actor import Actor
from tenants.models import AuditAction, AuditEntry, Tenant

MOST_NAME_CHARS = 160
CHANGED = "changed"
"""What stands for a secret that is another one now."""

Shown = Mapping[str, Any]
"""What people see of a row, by field; never a secret."""


def note(
    actor: Actor,
    action: AuditAction,
    kind: str,
    named: tuple[object, str],
    *,
    tenant: Tenant | None,
    before: Shown | None = None,
    after: Shown | None = None,
    secrets: Iterable[str] = (),
) -> AuditEntry:
    """Write down one change. named: the row's id and name. secrets: fields whose value changed and is not told."""
    changes: dict[str, Any] = differences(before or {}, after or {}) | dict.fromkeys(secrets, CHANGED)
    object_id, name = named
    return AuditEntry.objects.create(
        tenant=tenant,
        by=actor.by[:MOST_NAME_CHARS],
        action=action,
        kind=kind,
        object_id=str(object_id),
        name=name[:MOST_NAME_CHARS],
        changes=changes,
        request_id=actor.request_id,
    )


def differences(before: Shown, after: Shown) -> dict[str, list[Any]]:
    """By field [before, after], of the fields that differ; None where the row was not there.

    >>> differences({"name": "a", "weight": 1}, {"name": "b", "weight": 1})
    {'name': ['a', 'b']}
    """
    names = [*before, *(name for name in after if name not in before)]
    pairs = {name: [_plain(before.get(name)), _plain(after.get(name))] for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    match value:
        case dt.datetime():
            return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
        case enum.Enum():
            return _plain(value.value)
        case Decimal():
            return str(value)
        case _:
            return value
