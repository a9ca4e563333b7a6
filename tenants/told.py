"""Who is named to a tenant: its own keys and members. Which operator did something is the operators' business."""

from __future__ import annotations

from collections.abc import Collection

from tenants.models import ApiKey, AuditAction, AuditEntry, Member

AN_OPERATOR = "an operator"


def names_told(tenant_ids: Collection[int]) -> frozenset[str]:
    """Who is named to these tenants: their keys, also by what they were called before a rotation, and their members."""
    prefixes = set(ApiKey.objects.filter(tenant__in=tenant_ids).values_list("prefix", flat=True))
    rotated = AuditEntry.objects.filter(tenant__in=tenant_ids, kind="key", action=AuditAction.ROTATED)
    for changes in rotated.values_list("changes", flat=True):
        prefixes.update(one for one in changes.get("prefix", ()) if one)
    people = {member.user.get_username() for member in Member.objects.filter(tenant__in=tenant_ids).select_related("user")}
    return frozenset({f"key {prefix}" for prefix in prefixes} | people | {f"user {name}" for name in people})


def told_by(by: str, known: Collection[str] | None) -> str:
    """Who did something, as it is told. known: as from `names_told`; None: to an operator, who is told all."""
    return by if known is None or not by or by in known else AN_OPERATOR
