"""What can never fit is refused when it is submitted, not after a wait: a need above a limit itself, or above a whole budget."""

from __future__ import annotations

from typing import Never

from rateguard import wiring
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Exhausted, Kind, LimitRecord, Metric, Need
from rateguard.engine.money import format_usd
from rateguard.jobs.insight.naming import in_words
from rateguard.jobs.models import Job
from rateguard.jobs.places import need_at
from tenants.directory import Place
from tenants.models import Budget


def check_limits(row: Job, places: tuple[Place, ...]) -> None:
    """Compare a row's need with every limit and budget on its path, as its lane may use them. Raises InvalidRequest: `exceeds_limit`.

    A budget that sends work to a cheaper model refuses only what does not fit it there either.
    """
    need, lane = need_of(row, places), Lane(row.lane)
    for record in wiring.limits_of_path(row.path):
        if record.kind == Kind.PAUSE or need.of(record.metric) <= record.amount_for(lane):
            continue
        if record.on_exhausted != Exhausted.DOWNGRADE or _is_too_much_downgraded(row, record, lane):
            _refuse(record, need.of(record.metric), lane)


def need_of(row: Job, places: tuple[Place, ...]) -> Need:
    """What a row takes at these deployments."""
    return need_at(places, row.input_tokens, row.output_tokens, row.max_output_tokens, row.price_words.split())


def _is_too_much_downgraded(row: Job, record: LimitRecord, lane: Lane) -> bool:
    """Whether the budget's cheaper model costs too much as well, or has no deployment that the tenant may use."""
    budget = Budget.objects.filter(pk=record.id[1:].partition("@")[0]).select_related("downgrade_to").first()
    if budget is None or budget.downgrade_to is None:
        return True
    places = wiring.directory().places_for(budget.downgrade_to.name, row.tenant_id)
    return not places or need_of(row, places).of(record.metric) > record.amount_for(lane)


def _refuse(record: LimitRecord, wanted: int, lane: Lane) -> Never:
    amount = record.amount_for(lane)
    is_money = record.metric == Metric.COST
    needs, most = (format_usd(wanted), format_usd(amount)) if is_money else (f"{wanted:,}", f"{amount:,}")
    kept = f", of which lane {lane.label} may use {most}" if amount < record.amount and record.reserve_permille else ""
    raise InvalidRequest(
        f"this request needs {needs}, and the whole limit is {in_words(record.id)}{kept}: make it smaller, or raise the limit",
        code="exceeds_limit",
        pointer="/max_tokens",
    )
