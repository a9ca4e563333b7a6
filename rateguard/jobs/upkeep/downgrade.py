"""A budget that is spent sends its work to a cheaper model: the job keeps its place, and goes to each model once."""

from __future__ import annotations

import orjson

from rateguard import wiring
from rateguard.engine.gate.contract import Refused
from rateguard.jobs.bodies import opened
from rateguard.jobs.ends.transition import end
from rateguard.jobs.insight.naming import in_words
from rateguard.jobs.intake.building import estimate
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.states import DOWNGRADE, State
from tenants.models import Budget


def cheaper_model(budget_id: str) -> str | None:
    """The model that a budget sends work to, by the gate's id of the budget; None where it sends none (any more)."""
    budget = Budget.objects.filter(pk=budget_id[1:].partition("@")[0]).select_related("downgrade_to").first()
    return budget.downgrade_to.name if budget and budget.downgrade_to else None


def dead_end(row: Job, cheaper: str) -> str:
    """Why a row cannot go to this model, or "". Two budgets that sent it to and fro would never let it end."""
    moves = JobEvent.objects.filter(job=row, kind=DOWNGRADE.name).values_list("detail", flat=True)
    if cheaper in {row.model, *(move.get("from") for move in moves)}:
        return f"it was at the cheaper model {cheaper} already"
    if not wiring.directory().places_for(cheaper, row.tenant_id):
        return f"the cheaper model {cheaper} has no deployment that this tenant may use"
    return ""


def move(row: Job, one: Refused, cheaper: str) -> bool:
    """Send a waiting row to this model, with what it needs there. False: it waits no longer as it did when it was refused."""
    asked = row.model
    row.model, row.downgraded_from = cheaper, row.downgraded_from or asked
    estimate(row, orjson.loads(opened(row.request)), wiring.directory().places_for(cheaper, row.tenant_id) or ())
    columns = {name: getattr(row, name) for name in ("model", "downgraded_from", "counted_tokens", "input_tokens", "output_tokens")}
    queued = Job.objects.filter(pk=row.pk, attempt=one.attempt, state=State.QUEUED, model=asked)
    return bool(end(queued, DOWNGRADE, told={"from": asked, "to": cheaper, "budget": in_words(one.binding)}, **columns))
