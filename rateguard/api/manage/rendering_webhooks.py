"""Webhook endpoints and their messages as callers see them. A secret is nowhere here."""

from __future__ import annotations

from typing import Any

from rateguard.api.rendering import time_text
from rateguard.jobs.models import MessageState, WebhookMessage
from tenants.models import WebhookEndpoint


def render_webhook(row: WebhookEndpoint) -> dict[str, Any]:
    """An endpoint."""
    return {
        "id": row.pk,
        "object": "webhook",
        "tenant": row.tenant.name,
        "name": row.name,
        "url": row.url,
        "events": row.events,
        "hears_all": row.hears_all,
        "is_enabled": row.is_enabled,
        "created_at": time_text(row.created_at),
        "old_secret_until": time_text(row.previous_expires_at),
    }


def render_message(row: WebhookMessage) -> dict[str, Any]:
    """A message, without what it tells."""
    return {
        "id": f"msg_{row.pk}",
        "object": "webhook_message",
        "type": row.kind,
        "state": row.state,
        "job": None if row.job_id is None else str(row.job_id),
        "batch": None if row.batch_id is None else str(row.batch_id),
        "tries": row.tries,
        "created_at": time_text(row.created_at),
        "next_at": time_text(row.next_at) if row.state == MessageState.PENDING else None,
        "delivered_at": time_text(row.delivered_at),
        "last_status": row.last_status,
        "last_error": row.last_error,
    }
