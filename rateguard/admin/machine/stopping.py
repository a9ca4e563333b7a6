"""Stop runs: nothing more of them starts, what waits is cancelled, what runs is asked to end."""

from __future__ import annotations

from rateguard.admin.machine.verb import AT_ONCE, Chosen, Look, Order, Told, Tone, Verb, bounded, count, not_reached, of_the_chosen
from rateguard.jobs.controls.runs import stop_run
from rateguard.jobs.ends.cancel_many import UNENDED
from rateguard.jobs.models import Job
from tenants.access import Access, Power
from tenants.models import Run, RunState


class StopRuns(Verb):
    """The verb. It takes the runs inside along, and is for good."""

    name = "stop_runs"
    label = "Stop"
    button = "Stop"
    is_grave = True

    def fits(self, row: Run, access: Access) -> bool:
        """An open one."""
        return access.may(Power.WORK, row.tenant_id) and row.state == RunState.OPEN

    def look(self, chosen: Chosen) -> Look:
        """How many are open, and how many jobs they take along."""
        rows = chosen.rows.filter(created_at__lte=chosen.seen_at).select_related(None).order_by("-created_at", "-pk")
        mine = chosen.access.within(rows.filter(state=RunState.OPEN), power=Power.WORK)
        found = list(mine.values_list("pk", flat=True)[: AT_ONCE + 1])
        seen = len(rows.values_list("pk")[: AT_ONCE + 1])
        told = [of_the_chosen(len(found), seen, "run", "stopped", is_all=chosen.is_all)]
        if found:
            inside = [*found, *Run.objects.filter(parent__in=found, state=RunState.OPEN).values_list("pk", flat=True)[:AT_ONCE]]
            jobs = len(Job.objects.filter(UNENDED, run__in=inside[:AT_ONCE]).values_list("pk")[: AT_ONCE + 1])
            told.append(f"What is inside ends too: runs, and {bounded(jobs, 'job')} that wait or run by now. A stop is for good.")
        if len(found) > AT_ONCE:
            told.append(f"One go takes {count(AT_ONCE, 'run')}: do it again for the rest.")
        elif rest := seen - len(found):
            told.append(f"{count(rest, 'run')} stopped before, or not yours to stop.")
        return Look(tuple(found[:AT_ONCE]), tuple(told), "run")

    def do(self, order: Order) -> list[Told]:
        """One by one, as long as a go may take."""
        stopped, tried = 0, 0
        for pk in order.look.touches:
            run = Run.objects.filter(pk=pk).first()
            tried += 1
            stopped += run is not None and stop_run(run, by=order.by)
            if order.is_late:
                break
        told = [Told(Tone.DONE, f"{count(stopped, 'run')} stopped.")] if stopped else []
        if meanwhile := tried - stopped:
            told.append(Told(Tone.BESIDE, f"{count(meanwhile, 'run')} stopped meanwhile, with the run around it or by somebody else."))
        return told + not_reached(len(order.look.touches) - tried, "run")


STOP_RUNS = StopRuns()
