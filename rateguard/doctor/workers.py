"""Workers: how many live, how much they can take, and which lanes nobody serves."""

from __future__ import annotations

from django.db.models import Count
from django.db.models.functions import Now

from rateguard import wiring
from rateguard.doctor.finding import Finding, fail, ok, warn
from rateguard.engine.errors import GateError
from rateguard.engine.gate.contract import Holder
from rateguard.engine.lanes import Lane, queue_name
from rateguard.jobs.models import CARETAKER, Job, Lease
from rateguard.jobs.states import State

START = "celery -A rateguard worker (in a project of yours: its own Celery app), or `manage.py up`"


def look() -> list[Finding]:
    """Who holds slots, lane by lane, and who looks after the gate."""
    try:
        holders = [holder for holder in wiring.gate().inspect(()).holders if holder.slots]
    except GateError as error:
        return [fail(f"the gate does not answer, so nothing starts: {error}", "mend Redis first")]
    waiting = _waiting()
    if not holders:
        total = sum(waiting.values())
        told = f"no worker lives; jobs that wait: {total:,}" if total else "no worker lives"
        return [fail(told, f"start one: {START}")]
    slots = sum(holder.slots for holder in holders)
    who = "1 worker lives" if len(holders) == 1 else f"{len(holders)} workers live"
    return [ok(f"{who}, with {slots:,} slots"), *_lanes(holders, waiting), *_caretaker()]


def _waiting() -> dict[Lane, int]:
    rows = Job.objects.filter(state=State.QUEUED).order_by().values_list("lane").annotate(count=Count("pk"))
    return {Lane(lane): count for lane, count in rows}


def _lanes(holders: list[Holder], waiting: dict[Lane, int]) -> list[Finding]:
    served = {lane for holder in holders for lane in holder.lanes}
    found = []
    for lane in (lane for lane in Lane if lane not in served):
        remedy = f"let a worker read the queue {queue_name(lane)}: -Q {','.join(queue_name(one) for one in Lane)}"
        if waiting.get(lane):
            found.append(fail(f"nobody serves lane {lane.label}; jobs that wait there: {waiting[lane]:,}", remedy))
        else:
            found.append(warn(f"nobody serves lane {lane.label}", remedy))
    if not found:
        total = sum(waiting.values())
        found.append(ok("every lane is served; " + (f"jobs that wait: {total:,}" if total else "no job waits")))
    return found


def _caretaker() -> list[Finding]:
    if Lease.objects.filter(name=CARETAKER, expires_at__gt=Now()).exists():
        return []
    told = "no caretaker works: what dies is not noticed"
    return [warn(told, "every worker brings one; right after a start it takes a few seconds, else see the workers' logs")]
