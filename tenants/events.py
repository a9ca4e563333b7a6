"""Notices of the gate become rows, each once, whoever reads them and how often."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from django.db.models.functions import Now

from rateguard.engine.gate.contract import Notice, NoticeKind
from tenants.models import Budget, Deployment, GateEvent, ProviderAccount, Run

KEPT = dt.timedelta(days=90)


def store_notices(notices: Sequence[Notice]) -> None:
    """Write those that are new."""
    budgets = dict(Budget.objects.filter(pk__in=_numbers(notices, "b")).values_list("pk", "scope__tenant"))
    runs = dict(Run.objects.filter(pk__in=_runs(notices)).values_list("pk", "tenant"))
    names = [notice.subject for notice in notices if notice.kind == NoticeKind.BREAKER and notice.subject.isdecimal()]
    owners = dict(Deployment.objects.filter(pk__in=names).values_list("pk", "account__tenant"))
    cooled = _owners_of_cooled(notices)
    rows = (_row(notice, cooled.get(notice.subject) or _tenant(notice, budgets, runs, owners)) for notice in notices)
    GateEvent.objects.bulk_create(rows, ignore_conflicts=True)


def delete_old() -> int:
    """Delete events after ninety days. Returns how many."""
    count, _ = GateEvent.objects.filter(at__lt=Now() - KEPT).delete()
    return count


def _row(notice: Notice, tenant: int | None) -> GateEvent:
    return GateEvent(
        notice=notice.id,
        kind=notice.kind.value,
        tenant_id=tenant,
        subject=notice.subject,
        value=notice.value,
        period=_moment(notice.period) if notice.period else None,
        detail=notice.detail,
        at=_moment(notice.at_ms),
    )


def _moment(at_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)


def _tenant(notice: Notice, budgets: Mapping[int, int | None], runs: Mapping[UUID, int], owners: Mapping[int, int | None]) -> int | None:
    """Whose a notice is: of a default of all tenants the one at whose node it is."""
    if notice.kind == NoticeKind.COOLED:
        return None
    if notice.kind == NoticeKind.BREAKER:
        return owners.get(int(notice.subject)) if notice.subject.isdecimal() else None
    limit, _, node = notice.subject.partition("@")
    if limit.startswith("r"):
        return runs.get(UUID(limit[2:]))
    found = budgets.get(int(limit[1:]))
    kind, _, name = node.partition(":")
    return int(name) if found is None and kind == "tenant" else found


def _owners_of_cooled(notices: Iterable[Notice]) -> dict[str, int | None]:
    """Whose the accounts (`a3`) and deployments (`d7`) are that take nothing for long."""
    subjects = {notice.subject for notice in notices if notice.kind == NoticeKind.COOLED and notice.subject[1:].isdecimal()}
    if not subjects:
        return {}
    accounts = ProviderAccount.objects.filter(pk__in=[one[1:] for one in subjects if one[0] == "a"]).values_list("pk", "tenant")
    deployments = Deployment.objects.filter(pk__in=[one[1:] for one in subjects if one[0] == "d"]).values_list("pk", "account__tenant")
    return {**{f"a{pk}": tenant for pk, tenant in accounts}, **{f"d{pk}": tenant for pk, tenant in deployments}}


def _limits(notices: Iterable[Notice]) -> Iterable[str]:
    return (notice.subject.partition("@")[0] for notice in notices if notice.kind == NoticeKind.THRESHOLD)


def _numbers(notices: Iterable[Notice], letter: str) -> list[int]:
    return [int(limit[1:]) for limit in _limits(notices) if limit.startswith(letter)]


def _runs(notices: Iterable[Notice]) -> list[UUID]:
    return [UUID(limit[2:]) for limit in _limits(notices) if limit.startswith("r")]
