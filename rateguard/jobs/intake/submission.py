"""A job as a caller asks for it; what must be right about it is in `checking`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import uuid
from typing import Any

import orjson

from rateguard.engine.lanes import Lane
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.models import Delivery
from tenants.models import ApiKey, Tenant

MOST_TRIES = 100

NAMES = ("user", "team", "rolegroup", "role", "cost_center")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job as a caller asks for it.

    body: the request in OpenAI's shape; `model` in it is the public name. timeout_s, connect_timeout_s, first_token_timeout_s: of one call
    at the provider: all of it, the connection, the first token; seconds, None for the settings' own. store: False: its request and answer
    are not kept. webhook: the name of an endpoint of the tenant that hears of its end. batch, line, custom_id: where it came in by a batch.
    run: the run that it is charged to, beside those around it; where absent, the run around the call.
    session: what belongs together, for a model whose sessions stay at one deployment (see `engine.routing.sticky`); it is not stored.
    only: the one deployment of its model that is asked, by id; None: any that can do it.
    id: given by a Celery canvas, else made. canvas: what hangs on its end (see `canvas`); only Python gives one.
    idempotency_key: the same key and body give the same job, whichever run asks again. lane: None for the key's default, else normal.
    api_key_id: the key it came in by, whose rules it is under (see `allowed`); key: its row, where whoever submits has it at hand.
    must_start_within_s: it is accepted only if it can start so soon (see `in_time`); None: it may wait.
    """

    tenant: Tenant
    endpoint: Endpoint
    body: dict[str, Any]
    lane: Lane | None = None
    user: str = ""
    team: str = ""
    rolegroup: str = ""
    role: str = ""
    cost_center: str = ""
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    run_at: dt.datetime | None = None
    deadline: dt.datetime | None = None
    max_tries: int | None = None
    timeout_s: int | None = None
    connect_timeout_s: int | None = None
    first_token_timeout_s: int | None = None
    store: bool = True
    webhook: str = ""
    run: uuid.UUID | None = None
    delivery: Delivery = Delivery.AT_LEAST_ONCE
    idempotency_key: str | None = None
    api_key_id: int | None = None
    key: ApiKey | None = None
    must_start_within_s: int | None = None
    request_id: str = ""
    via: str = "rest"
    session: str = ""
    only: int | None = None
    id: uuid.UUID | None = None
    canvas: dict[str, Any] | None = None
    batch: uuid.UUID | None = None
    line: int | None = None
    custom_id: str = ""


_NOT_PART_OF_THE_REQUEST = {
    "tenant",
    "idempotency_key",
    "api_key_id",
    "key",
    "must_start_within_s",
    "request_id",
    "via",
    "session",
    "id",
    "run",
    "canvas",
    "batch",
    "line",
    "custom_id",
    "only",
}
_HASHED = tuple(field.name for field in dataclasses.fields(Submission) if field.name not in _NOT_PART_OF_THE_REQUEST)


def fingerprint(submission: Submission) -> str:
    """What must be the same for an idempotency key to answer again: the body and how it is to be run. Check it first."""
    told = [getattr(submission, name) for name in _HASHED]
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()
