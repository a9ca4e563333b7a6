"""What a tenant's webhook endpoints are told of an end: a message each, in the transaction that deletes the outbox's row.

    {"type": "job.succeeded", "timestamp": "…", "data": {the job, as GET shows it, without its request}}

A batch that is closed is told in the transaction that closes it. Who sends the messages is `worker.webhooks`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import orjson
from django.db.models import Count, Q, Sum

from rateguard.jobs.clock import database_now
from rateguard.jobs.ends.messages import check_enabled, insert
from rateguard.jobs.models import Batch, Job, Tells, WebhookMessage
from rateguard.jobs.rendering import render_job, time_text, usd
from tenants.models import WebhookEndpoint

MOST_RESULT_BYTES = 65_536
"""A longer answer is left out of a message; GET has it."""

TEST = "webhook.test"
"""The kind of a message that somebody sends to see whether it arrives."""


def prepare() -> None:
    """Nothing takes a while the first time."""


def tell(job: Job) -> None:
    """One message to each endpoint that wants to hear of this end."""
    _tell(job, f"job.{job.state}", lambda: _shown(job), job=job)


def tell_batch(batch: Batch) -> None:
    """The same of a batch that is closed: call it in the transaction that closes it. Of a batch that tells nobody nothing is asked."""
    if batch.tells & Tells.WEBHOOK:
        _tell(batch, f"batch.{batch.state}", lambda: _shown_batch(batch), batch=batch)


def _tell(ended: Job | Batch, kind: str, shown: Callable[[], dict[str, Any]], **of: Job | Batch) -> None:
    """One message to each endpoint that wants it. shown: asked for where one does. of: the column of the message that names what ended."""
    if endpoints := hearing(ended.tenant_id, kind, ended.webhook):
        body = body_of(kind, ended.finished_at, shown())
        insert([WebhookMessage(tenant_id=ended.tenant_id, endpoint=one, kind=kind, body=body, **of) for one in endpoints])


def send_test(endpoint: WebhookEndpoint) -> WebhookMessage:
    """A message that tells of nothing, for an endpoint that is enabled. Raises InvalidRequest: `webhook_disabled`."""
    check_enabled(endpoint)
    body = body_of(TEST, database_now(), {"object": "webhook", "name": endpoint.name})
    message = WebhookMessage(tenant_id=endpoint.tenant_id, endpoint=endpoint, kind=TEST, body=body)
    insert([message])
    message.refresh_from_db()
    return message


def hearing(tenant_id: int, kind: str, named: str) -> list[WebhookEndpoint]:
    """The endpoints of a tenant that want this event: those that hear all, and the one that was named."""
    wanted = Q(hears_all=True) | Q(name=named) if named else Q(hears_all=True)
    rows = WebhookEndpoint.objects.filter(wanted, tenant=tenant_id, is_enabled=True)
    return [row for row in rows if not row.events or kind in row.events]


def body_of(kind: str, at: dt.datetime | None, data: dict[str, Any]) -> str:
    """The text that is signed and sent."""
    return orjson.dumps({"type": kind, "timestamp": time_text(at), "data": data}).decode()


def _shown(job: Job) -> dict[str, Any]:
    """The job as GET shows it; a long answer is left out, and one that is not stored is not there."""
    is_long = job.result is not None and len(job.result.encode()) > MOST_RESULT_BYTES
    shown = render_job(job, has_result=job.is_stored and not is_long)
    return {**shown, "result_omitted": True} if is_long else shown


def _shown_batch(batch: Batch) -> dict[str, Any]:
    """A batch, with how its jobs ended and what they cost: one statement over its index."""
    ended = Job.objects.filter(batch=batch).values("state").annotate(count=Count("pk"), spent=Sum("nano_usd"))
    by_state = {row["state"]: (row["count"], row["spent"]) for row in ended}
    spent = sum(cost for _, cost in by_state.values())
    return {
        "id": str(batch.pk),
        "object": "batch",
        "status": batch.state,
        "name": batch.name,
        "metadata": batch.metadata,
        "total": batch.total,
        "rejected": batch.rejected,
        "jobs": {state: count for state, (count, _) in sorted(by_state.items())},
        "cost_usd": usd(spent),
        "cost_nano_usd": spent,
        "submitted_at": time_text(batch.submitted_at),
        "finished_at": time_text(batch.finished_at),
    }
