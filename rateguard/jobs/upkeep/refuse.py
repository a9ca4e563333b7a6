"""What the gate gives back without a grant.

It ends as failed with the limit in the way, goes to a cheaper model, or comes again once the gate knows what it lacked.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence

from rateguard import wiring
from rateguard.engine.gate.contract import MOST_NODES, Refusal, Refused
from rateguard.engine.scopes import kind_of, name_of, parts_of
from rateguard.jobs.ends.finished import announce
from rateguard.jobs.ends.release import bring_in
from rateguard.jobs.ends.transition import end
from rateguard.jobs.insight.naming import in_words, run_in_words
from rateguard.jobs.line.pump import Pump
from rateguard.jobs.line.waiting import waiting_of
from rateguard.jobs.models import Job
from rateguard.jobs.states import REFUSE, State
from rateguard.jobs.upkeep.downgrade import cheaper_model, dead_end, move
from tenants.models import Run

_WHY = {
    Refusal.EXCEEDS_LIMIT: "the request needs more than the whole limit ({}): make it smaller, or raise the limit",
    Refusal.BUDGET_EXHAUSTED: "the most that it can cost does not fit what is left of the budget ({}): raise the budget, or ask for less",
    Refusal.TOO_MANY_NODES: f"{MOST_NODES:,} users, teams, roles and keys of the tenant are at work under default limits, and that is all "
    "there may be: try again when some of them were idle for a while, or use fewer names",
}

MOST_RETURNS = 3
"""A job comes again so often at once because the gate lacked something; from then on the sweeper brings it, which takes its time."""
MOST_KEPT = 10_000

_returns: Counter[uuid.UUID] = Counter()


def why(reason: Refusal, binding: str) -> str:
    """What people are told of a refusal that no configuration helps. binding: the gate's id of the limit in the way."""
    return _WHY[reason].format(in_words(binding))


def refuse(refused: Iterable[Refused], pump: Pump) -> None:
    """Write refusals, and bring back by this pump what may still be granted."""
    lacking = []
    for one in refused:
        match one.reason:
            case Refusal.NOT_CONFIGURED:
                lacking.append(one)
            case Refusal.DOWNGRADE:
                _downgrade(one, pump)
            case _:
                _fail(one, one.reason.value, why(one.reason, one.binding))
    if lacking:
        _return(_configured(lacking), pump)


def _fail(one: Refused, code: str, message: str) -> None:
    queued = Job.objects.filter(pk=one.job, attempt=one.attempt)
    announce(end(queued, REFUSE, error_code=code, error_message=message))


def _downgrade(one: Refused, pump: Pump) -> None:
    row = Job.objects.filter(pk=one.job, attempt=one.attempt, state=State.QUEUED).first()
    if row is None:
        return
    cheaper = cheaper_model(one.binding)
    if cheaper is None:  # the budget was changed meanwhile, and the gate is about to hear of it
        _return([one], pump)
    elif end_of_way := dead_end(row, cheaper):
        _fail(one, Refusal.BUDGET_EXHAUSTED.value, f"{why(Refusal.BUDGET_EXHAUSTED, one.binding)}; {end_of_way}")
    elif move(row, one, cheaper):
        pump.enqueue([waiting_of(row)])


# ---- the gate was not told


def _configured(lacking: Sequence[Refused]) -> list[Refused]:
    """Write to the gate what it lacked, once for all of a reply. Returns what may come again: a run without a row fails its jobs."""
    by_binding: dict[str, list[Refused]] = {}
    for one in lacking:
        by_binding.setdefault(one.binding, []).append(one)
    again: list[Refused] = []
    is_written = False
    for binding, ones in by_binding.items():
        run_id = _run_of(binding)
        if run_id is None:
            is_written = is_written or wiring.push_configuration()
        elif not _push_run(run_id):
            for one in ones:
                _fail(one, "unknown_run", f"{run_in_words(run_id.hex)} no longer exists")
            continue
        again += ones
    return again


def _run_of(node: str) -> uuid.UUID | None:
    """The run that a record's id names; None where it is a tenant or a model."""
    part = next((part for part in parts_of(node) if kind_of(part) == "run"), "")
    try:
        return uuid.UUID(name_of(part)) if part else None
    except ValueError:
        return None


def _push_run(run_id: uuid.UUID) -> bool:
    """Write a run's record. False: there is no such run."""
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        return False
    wiring.push_run(run)
    return True


def _return(refused: Sequence[Refused], pump: Pump) -> None:
    """These wait again, where that may help soon."""
    if len(_returns) > MOST_KEPT:
        _returns.clear()
    _returns.update(one.job for one in refused)
    soon = [one.job for one in refused if _returns[one.job] <= MOST_RETURNS]
    bring_in(soon, pump)
