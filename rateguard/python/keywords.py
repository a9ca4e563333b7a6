"""What the keywords of a call of `complete` or `embed` say, as a submission."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.inherit import current_run
from rateguard.jobs.intake.submission import NAMES, Submission
from rateguard.jobs.intake.timeouts import timeouts_of
from rateguard.jobs.models import Delivery
from rateguard.python.within import HasId, as_run_id, paying_tenant
from tenants.models import Tenant

_CARRIED = (
    *NAMES,
    "labels",
    "metadata",
    "run_at",
    "deadline",
    "max_tries",
    "idempotency_key",
    "request_id",
    "session",
)


def submission_of(
    endpoint: Endpoint,
    asked: Mapping[str, Any],
    /,
    *,
    model: str,
    tenant: Tenant | str | None = None,
    lane: Lane | str | None = None,
    timeout: int | Mapping[str, int] | None = None,
    keep_bodies: bool = True,
    webhook: str = "",
    run: uuid.UUID | str | HasId | None = None,
    delivery: Delivery | str = Delivery.AT_LEAST_ONCE,
    id: uuid.UUID | None = None,  # noqa: A002 -- the submission's word
    canvas: dict[str, Any] | None = None,
    **options: Any,
) -> Submission:
    """The job that is asked for. asked: the part of the body that the first argument made; options: see delay.JobTask.

    Raises InvalidRequest, ConfigurationError.
    """
    carried_along = {name: options.pop(name) for name in _CARRIED if options.get(name) is not None}
    run_id = as_run_id(run) or current_run()
    return Submission(
        tenant=paying_tenant(tenant, run_id),
        endpoint=endpoint,
        lane=None if lane is None else parse_lane(lane),
        body={"model": model, **asked, **options},
        **timeouts_of(timeout),
        store=keep_bodies,
        webhook=webhook,
        run=run_id,
        delivery=_delivery(delivery),
        via="delay",
        id=id,
        canvas=canvas,
        **carried_along,
    )


def _delivery(given: Delivery | str) -> Delivery:
    try:
        return Delivery(given)
    except ValueError:
        raise InvalidRequest(f"delivery is one of {', '.join(Delivery.values)}", code="invalid_field", pointer="/job/delivery") from None
