"""A budget that is spent sends its work to a cheaper model: the job keeps its place, and goes to each model once."""

from __future__ import annotations

import orjson

from rateguard import wiring
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.gate.contract import Refused
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.bodies import opened
from rateguard.jobs.ends.transition import end
from rateguard.jobs.insight.naming import in_words
from rateguard.jobs.intake.rerouting import been_at, reroute
from rateguard.jobs.intake.supported import supporting
from rateguard.jobs.models import Job
from rateguard.jobs.states import DOWNGRADE, State
from tenants.models import Budget

_COUNTED = ("model", "downgraded_from", "route_marks", "counted_tokens", "input_tokens", "output_tokens")


def cheaper_model(budget_id: str) -> str | None:
    """The model that a budget sends work to, by the gate's id of the budget; None where it sends none (any more)."""
    budget = Budget.objects.filter(pk=budget_id[1:].partition("@")[0]).select_related("downgrade_to").first()
    return budget.downgrade_to.name if budget and budget.downgrade_to else None


def dead_end(row: Job, cheaper: str) -> str:
    """Why a row cannot go to this model, or "". Two budgets that sent it to and fro would never let it end."""
    if cheaper in been_at(row):
        return f"it was at the cheaper model {cheaper} already"
    places = wiring.directory().places_for(cheaper, row.tenant_id)
    if not places:
        return f"the cheaper model {cheaper} has no deployment that this tenant may use"
    try:
        supporting(orjson.loads(opened(row.request)), Endpoint(row.endpoint), places)
    except InvalidRequest as refusal:
        return f"the cheaper model {cheaper} cannot do it: {refusal}"
    return ""


def move(row: Job, one: Refused, cheaper: str) -> bool:
    """Send a waiting row to this model, with what it needs there. False: it waits no longer as it did when it was refused."""
    asked, row.downgraded_from = row.model, row.asked_model
    reroute(row, cheaper, orjson.loads(opened(row.request)))
    columns = {name: getattr(row, name) for name in _COUNTED}
    queued = Job.objects.filter(pk=row.pk, attempt=one.attempt, state=State.QUEUED, model=asked)
    return bool(end(queued, DOWNGRADE, told={"from": asked, "to": cheaper, "budget": in_words(one.binding)}, **columns))
