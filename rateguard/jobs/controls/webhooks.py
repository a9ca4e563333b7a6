"""What a person does to a webhook's messages: a test, and what did not arrive sent again; each with its line of the audit."""

from __future__ import annotations

import uuid

from django.db import transaction

from rateguard.jobs.ends.messages import resend
from rateguard.jobs.ends.webhooks import send_test
from rateguard.jobs.models import WebhookMessage
from tenants.changes import audit
from tenants.changes.actor import Actor
from tenants.models import AuditAction, WebhookEndpoint

KIND = "webhook"


def try_out(actor: Actor, endpoint: WebhookEndpoint) -> WebhookMessage:
    """Send a message that tells of nothing. Raises what `send_test` raises; `not_found` for another tenant's endpoint."""
    actor.check_of(endpoint.tenant_id, KIND)
    with transaction.atomic():
        message = send_test(endpoint)
        _note(actor, endpoint, "test", f"msg_{message.pk}")
    return message


def send_again(actor: Actor, endpoint: WebhookEndpoint, message: uuid.UUID | None = None) -> int:
    """Send all dead messages again, or this one. Returns how many. Raises what `resend` raises; `not_found`, as above."""
    actor.check_of(endpoint.tenant_id, KIND)
    with transaction.atomic():
        count = resend(endpoint, message)
        if count:
            _note(actor, endpoint, "sent_again", count if message is None else f"msg_{message}")
    return count


def _note(actor: Actor, endpoint: WebhookEndpoint, deed: str, what: object) -> None:
    named = (endpoint.pk, endpoint.name)
    audit.note(actor, AuditAction.CHANGED, KIND, named, tenant=endpoint.tenant, after={deed: what})
