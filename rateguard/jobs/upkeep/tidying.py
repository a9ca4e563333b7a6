"""What the caretaker does for the configuration: pauses that are over, runs that the gate may forget, and what the gate noticed."""

from __future__ import annotations

from django.db.models.functions import Now

from rateguard import wiring
from rateguard.engine.gate.contract import Configuration
from tenants.events import delete_old, store_notices
from tenants.models import ConfigVersion, Pause
from tenants.records.runs import names_of, note_forgotten, runs_to_forget, stop_overlong

NOTICES_AT_ONCE = 500
MOST_READINGS = 20


def lift_pauses() -> int:
    """Delete the pauses whose time has passed; the gate has let work through since then. Returns how many."""
    count, _ = Pause.objects.filter(until__lte=Now()).delete()
    return count


def forget_runs() -> int:
    """Tell the gate to forget runs that ended long ago, a page of them. Returns how many."""
    gone = runs_to_forget()
    if not gone:
        return 0
    names = [names_of(run) for run in gone]
    limits = tuple(limit for found, _ in names for limit in found)
    nodes = tuple(node for _, node in names)
    wiring.gate().configure(Configuration(ConfigVersion.current(), forget_limits=limits, forget_scopes=nodes))
    note_forgotten(run.pk for run in gone)
    return len(gone)


def collect_notices() -> int:
    """Write what the gate noticed as events. Each reading acknowledges the one before. Returns how many were read."""
    read: tuple[str, ...] = ()
    count = 0
    for _ in range(MOST_READINGS):
        found = wiring.gate().notices(read, NOTICES_AT_ONCE)
        if not found:
            break
        store_notices(found)
        read = tuple(notice.id for notice in found)
        count += len(found)
    return count


def tidy() -> None:
    """What is over or old goes: runs that nobody stopped, runs in the gate, events."""
    stop_overlong()
    forget_runs()
    delete_old()
