"""The search for jobs: what is looked for, as a value, and how it is found at any number of jobs.

Every list of jobs filters by `Search.matching`. People's pages find by `find`, whose cost is bounded: what an index answers is read from
it; everything else is looked for among the newest jobs, MOST_LOOKED_AT at a time, and the answer says where it stopped.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import uuid
from collections.abc import Mapping
from typing import Any, cast

from django.db.models import BooleanField, Count, F, Func, Max, Q, QuerySet, Value

from rateguard.engine.lanes import Lane
from rateguard.jobs.insight.fence import among
from rateguard.jobs.insight.keyset import Cursor, Page, beside, page_from
from rateguard.jobs.models import ENDED_BADLY, Job
from rateguard.jobs.states import WAITING, State
from tenants.models import Tenant

MOST_LOOKED_AT = 5_000
"""Jobs that one page looks at for what no index knows."""
MOST_SUMMED = 2_500
"""Jobs among which bad ends are summed up."""
MOST_GATHERED = 5_000
"""Waiting or running jobs, or those of a run or batch: up to so many are gathered and sorted; of more, the newest are walked."""
HEAVY = ("request", "result", "metadata", "canvas")
"""Columns that no list shows, and that may be large."""
_PAIR = re.compile(r"([^:=]+)[:=](.*)", re.DOTALL)


def label_pair(text: str) -> tuple[str, str] | None:
    """The key and the value of `feature:search` or `feature=search`; None for what is no label."""
    pair = _PAIR.fullmatch(text)
    return (pair[1], pair[2]) if pair else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What a job must be to be listed; all of it must hold. Empty: nothing is asked of it. since: the earliest; until: none from then on.

    tenant: an id. keys: ids of API keys, None: any. labels: pairs that it must all have.
    """

    tenant: int | None = None
    states: frozenset[str] = frozenset()
    lanes: frozenset[Lane] = frozenset()
    model: str = ""
    user: str = ""
    team: str = ""
    deployment: str = ""
    error: str = ""
    fingerprint: str = ""
    request_id: str = ""
    idempotency_key: str = ""
    run: uuid.UUID | None = None
    batch: uuid.UUID | None = None
    keys: frozenset[int] | None = None
    labels: tuple[tuple[str, str], ...] = ()
    since: dt.datetime | None = None
    until: dt.datetime | None = None

    def matching(self, rows: QuerySet[Job]) -> QuerySet[Job]:
        """Of these rows those that are looked for."""
        return self.in_time(rows).filter(*self.conditions().values())

    def in_time(self, rows: QuerySet[Job]) -> QuerySet[Job]:
        """Of these rows those that were submitted in the time that is looked at."""
        if self.since is not None:
            rows = rows.filter(submitted_at__gte=self.since)
        return rows if self.until is None else rows.filter(submitted_at__lt=self.until)

    def conditions(self) -> dict[str, Q]:
        """All but the time, by name."""
        found = {name: Q(**{column: getattr(self, name)}) for name, column in _EQUAL.items() if getattr(self, name) not in (None, "")}
        several = {name: Q(**{f"{column}__in": sorted(getattr(self, name))}) for name, column in _SEVERAL.items() if getattr(self, name)}
        keys = {} if self.keys is None else {"keys": Q(api_key_id__in=sorted(self.keys))}
        labels = {f"label {key}={value}": Q(HasLabel(key, value)) for key, value in self.labels}
        return {**found, **several, **keys, **labels}


_EQUAL = {
    "tenant": "tenant",
    "model": "model",
    "user": "user",
    "team": "team",
    "deployment": "deployment",
    "error": "error_code",
    "fingerprint": "fingerprint",
    "request_id": "request_id",
    "idempotency_key": "idempotency_key",
    "run": "run",
    "batch": "batch",
}
_SEVERAL = {"states": "state", "lanes": "lane"}


# ---- what is found


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A page of what was found. looked_at: after so many jobs the search stopped before its end; None: there is no more of it.

    Where it stopped, the page's own cursor leads on, also from a page without a job.
    """

    page: Page
    looked_at: int | None = None


def find(rows: QuerySet[Job], search: Search, cursor: Cursor | None, limit: int) -> Found:
    """A page of the jobs among these rows, newest first; at most four statements, and bounded.

    rows: all jobs, or those within somebody's reach; who does not reach all of them names a tenant, for an index leads there.
    """
    rows = rows.defer(*HEAVY)
    wanted = search.matching(rows)
    if search.idempotency_key:
        return Found(page_from(list(beside(_by_key(wanted, search), cursor)[: limit + 1]), cursor, limit))
    gathered = _gathered(rows, search)
    if gathered is not None:
        return Found(page_from(list(beside(among(wanted, gathered), cursor)[: limit + 1]), cursor, limit))
    head = _head(search)
    if set(search.conditions()) <= set(head):
        return Found(page_from(list(beside(wanted, cursor)[: limit + 1]), cursor, limit))
    ground = beside(search.in_time(rows.filter(*head.values())), cursor)
    found = list(beside(among(wanted, ground[:MOST_LOOKED_AT]), cursor)[: limit + 1])
    return _walked(found, ground, cursor, limit)


@dataclasses.dataclass(frozen=True, slots=True)
class BadEnd:
    """Jobs that ended badly in the same way: their state, error code and model; last_at: when the newest of them was submitted."""

    state: str
    error: str
    model: str
    jobs: int
    last_at: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class BadEnds:
    """How jobs ended badly, the most frequent first. looked_at: only among so many of the newest jobs; None: among all."""

    groups: tuple[BadEnd, ...]
    looked_at: int | None


def bad_ends(rows: QuerySet[Job], search: Search, most: int) -> BadEnds:
    """So many groups of what is looked for and ended badly; at most three statements, and bounded as `find` is. rows: as there."""
    badly = dataclasses.replace(search, states=search.states & _BADLY or _BADLY)
    rows = rows.defer(*HEAVY)
    ground = _gathered(rows, badly)
    looked_at = None
    if ground is None:
        whole = beside(badly.in_time(rows.filter(*_head(badly).values())), None)
        ground = whole[:MOST_SUMMED]
        looked_at = MOST_SUMMED if whole.values_list("pk")[MOST_SUMMED : MOST_SUMMED + 1] else None
    groups = among(badly.matching(rows), ground).values_list("state", "error_code", "model").order_by()
    counted = groups.annotate(jobs=Count("pk"), last_at=Max("submitted_at")).order_by("-jobs", "state", "error_code", "model")
    return BadEnds(tuple(BadEnd(*one) for one in counted[:most]), looked_at)


def _walked(found: list[Job], ground: QuerySet[Job], cursor: Cursor | None, limit: int) -> Found:
    """With the place where the walk stopped, if it did before its page was full."""
    page = page_from(found, cursor, limit)
    stopped_at = (
        None if len(found) > limit else next(iter(ground.values_list("submitted_at", "pk")[MOST_LOOKED_AT - 1 : MOST_LOOKED_AT]), None)
    )
    if stopped_at is None:
        return Found(page)
    on = Cursor(*stopped_at, is_to_newer=cursor is not None and cursor.is_to_newer)
    page = dataclasses.replace(page, newer=on) if on.is_to_newer else dataclasses.replace(page, older=on)
    return Found(page, MOST_LOOKED_AT)


def _by_key(wanted: QuerySet[Job], search: Search) -> QuerySet[Job]:
    """An idempotency key is a tenant's own."""
    return _of_tenants(wanted, search)


def _of_tenants(rows: QuerySet[Job], search: Search) -> QuerySet[Job]:
    """For an index that begins with the tenant: it is asked for each."""
    return rows if search.tenant is not None else rows.filter(tenant__in=Tenant.objects.values("pk"))


def _head(search: Search) -> dict[str, Q]:
    """What an index with the newest first knows: the tenant, the model, that it ended badly; of all jobs, nothing."""
    conditions = search.conditions()
    for name in ("tenant", "model"):
        if name in conditions:
            return {name: conditions[name]}
    if search.states and search.states <= _BADLY:
        return {"states" if search.states == _BADLY else "badly": Q(state__in=ENDED_BADLY)}
    return {}


_BADLY = frozenset(ENDED_BADLY)


def _gathered(rows: QuerySet[Job], search: Search) -> QuerySet[Job] | None:
    """The jobs of a run or batch, those that wait or those that run, as their index has them; None where it is none of these, or many."""
    conditions = search.conditions()
    if "fingerprint" in conditions:
        base, order = _of_tenants(rows, search).filter(~Q(fingerprint=""), conditions["fingerprint"]), _FAILURES_ORDER
    elif "run" in conditions:
        base, order = rows.filter(conditions["run"]), ["run", "state"]
    elif "batch" in conditions:
        base, order = rows.filter(conditions["batch"]), ["batch", "line"]
    elif search.states and search.states <= WAITING:
        base, order = rows.filter(state__in=sorted(search.states)), _WAITING_ORDER.get(search.states, ["tenant_id"])
    elif search.states == {State.RUNNING}:
        base, order = rows.filter(state=State.RUNNING), ["holder"]
    else:
        return None
    if search.tenant is not None:
        base = base.filter(conditions["tenant"])
    base = base.order_by(*order)
    has_more = bool(base.values_list("pk")[MOST_GATHERED : MOST_GATHERED + 1])
    return None if has_more else base[:MOST_GATHERED]


_FAILURES_ORDER = ["tenant_id", "fingerprint", "-finished_at"]
"""As the index of failures has them."""
_WAITING_ORDER: Mapping[frozenset[str], list[str]] = {
    frozenset({State.QUEUED}): ["queued_at", "pk"],
    frozenset({State.SCHEDULED}): ["run_at"],
}
"""How the index of each has them; that of both together has them by tenant."""


class HasLabel(Func):
    """Whether labels hold this pair."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, key: str, value: str) -> None:
        super().__init__(F("labels"), Value(key), Value(value))

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, tuple[Any, ...]]:
        """As a row of the object's pairs: a path into it could not hold every key."""
        template = "EXISTS (SELECT 1 FROM json_each(%(labels)s) AS pair WHERE pair.key = %%s AND pair.value = %%s)"
        return self._compiled(compiler, template)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, tuple[Any, ...]]:
        """As the value of the key."""
        return self._compiled(compiler, "(jsonb_extract_path_text(%(labels)s, %%s) = %%s)")

    def _compiled(self, compiler: Any, template: str) -> tuple[str, tuple[Any, ...]]:
        labels, key, value = self.get_source_expressions()
        sql, params = compiler.compile(labels)
        return template % {"labels": sql}, (*params, cast("Any", key).value, cast("Any", value).value)
