"""What a request would need, cost and meet, if it were submitted now. Nothing is written and no place is taken."""

from __future__ import annotations

import contextlib
import dataclasses

from django.db import transaction

from rateguard import wiring
from rateguard.engine.errors import LimitInTheWay
from rateguard.engine.lanes import Lane
from rateguard.engine.money import Usage, cost_nano_usd
from rateguard.jobs.insight.binding import Asked, Obstacle, binding
from rateguard.jobs.insight.effective import Standing, standing
from rateguard.jobs.intake.affordable import check_budgets
from rateguard.jobs.intake.building import build
from rateguard.jobs.intake.checking import check
from rateguard.jobs.intake.fits import need_of
from rateguard.jobs.intake.in_time import check_start
from rateguard.jobs.intake.queue_bound import check_place
from rateguard.jobs.intake.submission import Submission
from rateguard.jobs.marked import places_of_row
from rateguard.jobs.models import Job
from tenants.directory import Place


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """A request that somebody thinks of.

    row: the job that it would be, with its tokens; it is stored nowhere. low_nano_usd: the expected output at the cheapest deployment;
    high_nano_usd: the most output at the dearest. binding: what it would meet first. refusal: what submit would say now, None: it
    would take it.
    """

    row: Job
    places: tuple[Place, ...]
    low_nano_usd: int
    high_nano_usd: int
    standing: Standing
    asked: Asked
    binding: Obstacle | None
    refusal: LimitInTheWay | None


def estimate_of(submission: Submission) -> Estimate:
    """Judge a request as `submit` does. Raises what submit raises for a request that has to be changed, and GateError."""
    check(submission)
    row, places = _built(submission)
    found = standing(row.path, Lane(row.lane), places, row.tenant_id, row.model)
    asked = Asked(need_of(row, places), Lane(row.lane), found.now_ms)
    usage = Usage(input_tokens=row.input_tokens, output_tokens=row.output_tokens)
    return Estimate(
        row,
        places,
        low_nano_usd=min((cost_nano_usd(place.price, usage) for place in places), default=0),
        high_nano_usd=need_of(row, places).cost,
        standing=found,
        asked=asked,
        binding=binding(found.path, found.places, asked),
        refusal=_refusal(row, submission),
    )


def _built(submission: Submission) -> tuple[Job, tuple[Place, ...]]:
    """The job that it would be, and its model's deployments. A model that a wildcard would make for it is made and taken back."""
    is_known = str(submission.body["model"]) in wiring.directory().routes
    with contextlib.nullcontext() if is_known else transaction.atomic():
        row = build(submission)
        places = places_of_row(row)
        if not is_known:
            transaction.set_rollback(True)
    return row, places


def _refusal(row: Job, submission: Submission) -> LimitInTheWay | None:
    """What would keep a good request out for now."""
    try:
        check_budgets([row])
        if submission.must_start_within_s is not None:
            check_start(row, submission.must_start_within_s)
        check_place(submission.tenant)
    except LimitInTheWay as refusal:
        return refusal
    return None
