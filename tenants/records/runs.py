"""Runs as the gate keeps them, and how long it keeps them.

A run is in the gate from its start until a day after its end: stopped, late, or open for thirty days without a deadline. For so long a
call that was sent before the end may still take (CALL_TIMEOUT_S is at most a day), and a rebuilt gate must count it again; after that
nothing of the run can be under way, and who asks for it is refused by its row. Both sides are bounded: a tenant has MOST_OPEN_RUNS open
ones, and of those that ended the gate keeps MOST_ENDED, the latest.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from rateguard.engine.gate.contract import ScopeRecord
from rateguard.engine.limits.limit import Kind, Level, LimitRecord, Metric
from rateguard.engine.scopes import NodeKind, node_of
from tenants.models import Pause, PauseKind, Run, RunState
from tenants.models.runs import LONGEST_RUN
from tenants.records.limits import pause_record
from tenants.records.scopes import NodeRecords

KEPT = dt.timedelta(days=1)
MOST_ENDED = 10_000
PAGE = 1_000


def run_node(run: Run) -> str:
    """What paths call a run."""
    return node_of(str(run.tenant_id), NodeKind.RUN, run.pk.hex)


def run_records(run: Run) -> tuple[LimitRecord, ...]:
    """What a run may use, as limits: `rb…` money, `rc…` calls, and of a stopped one `rp…`, which nothing passes."""
    key = run.pk.hex
    found = []
    if run.budget_nano_usd is not None:
        found.append(LimitRecord(f"rb{key}", Kind.BUDGET, Metric.COST, run.budget_nano_usd, Level.LEAF))
    if run.max_calls is not None:
        found.append(LimitRecord(f"rc{key}", Kind.BUDGET, Metric.REQUESTS, run.max_calls, Level.LEAF))
    if run.state == RunState.STOPPED:
        found.append(LimitRecord(f"rp{key}", Kind.PAUSE, Metric.REQUESTS, 0, Level.LEAF))
    return tuple(found)


def run_nodes(runs: Iterable[Run]) -> NodeRecords:
    """The nodes of runs, with their limits and pauses."""
    pauses = {row.target: pause_record(row, Level.LEAF) for row in Pause.objects.filter(target_kind=PauseKind.RUN)}
    limits: list[LimitRecord] = []
    nodes: list[ScopeRecord] = []
    for run in runs:
        mine = run_records(run) + ((pauses[run.pk.hex],) if run.pk.hex in pauses else ())
        limits += mine
        nodes.append(ScopeRecord(run_node(run), tuple(record.id for record in mine)))
    return NodeRecords(tuple(limits), tuple(nodes))


def runs_in_gate() -> QuerySet[Run]:
    """The runs that the gate must know."""
    return Run.objects.filter(in_gate=True)


def stop_overlong() -> int:
    """Stop runs that nobody stopped in thirty days and that have no deadline. Returns how many."""
    overlong = Run.objects.filter(state=RunState.OPEN, in_gate=True, deadline_at__isnull=True, created_at__lt=Now() - LONGEST_RUN)
    return overlong.update(state=RunState.STOPPED, stopped_at=Now())


def runs_to_forget() -> list[Run]:
    """A page of runs that ended too long ago, or of which there are too many, for the gate to keep."""
    ended = runs_in_gate().filter(Q(state=RunState.STOPPED) | Q(deadline_at__lt=Now()))
    long_ago = ended.filter(Q(stopped_at__lt=Now() - KEPT) | Q(deadline_at__lt=Now() - KEPT))
    return list(long_ago[:PAGE]) or list(ended.order_by("-created_at")[MOST_ENDED : MOST_ENDED + PAGE])


def note_forgotten(pks: Iterable[uuid.UUID]) -> None:
    """The gate forgot these. Nobody needs to be told of that."""
    QuerySet(Run).filter(pk__in=list(pks)).update(in_gate=False)


def names_of(run: Run) -> tuple[tuple[str, ...], str]:
    """Every limit that a run may have had, and its node: what is forgotten with it."""
    return tuple(f"{letters}{run.pk.hex}" for letters in ("rb", "rc", "rp")), run_node(run)
