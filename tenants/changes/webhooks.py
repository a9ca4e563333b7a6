"""Webhook endpoints: where a tenant hears of what ended. A secret is shown once, to whoever made it."""

from __future__ import annotations

import base64
import datetime as dt
import re
import secrets
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.db.models.functions import Now

from rateguard.conf import conf, is_production
from rateguard.engine.errors import InvalidRequest
from tenants.changes.actor import Actor
from tenants.changes.named import check_name
from tenants.changes.problems import as_invalid
from tenants.changes.rows import Kind, change, fresh, in_one_transaction, insert, noted, remove
from tenants.models import AuditAction, Tenant, WebhookEndpoint, WebhookEvent
from tenants.reachable import literal, may_reach

MOST_URL_CHARS = 1_024
MOST_ENDPOINTS = 20
"""Of one tenant: each end may be told to all of them."""
SECRET_PREFIX = "whsec_"  # noqa: S105 -- what every secret begins with, not one
SECRET_BYTES = 32
LONGEST_OVERLAP = dt.timedelta(days=30)
FIELDS = ("name", "url", "events", "hears_all", "is_enabled")

_UNREADABLE = re.compile(r"[\x00-\x20\x7f-\x9f\\]")


def _shown(row: WebhookEndpoint) -> dict[str, Any]:
    return {name: getattr(row, name) for name in FIELDS}


KIND = Kind("webhook", shown=_shown, tenant_of=lambda row: row.tenant, fields=FIELDS, label=lambda row: row.name, skip=frozenset({"url"}))


@in_one_transaction
def create_webhook(
    actor: Actor,
    tenant: Tenant,
    *,
    name: str,
    url: str,
    events: Sequence[str] = (),
    hears_all: bool = True,
    is_enabled: bool = True,
) -> tuple[WebhookEndpoint, str]:
    """A new endpoint and the secret with which its messages are signed, which nobody can read again.

    events: of `WebhookEvent`, none for all. hears_all: of every job and batch, else of those alone that name it.
    Raises InvalidRequest, NotAllowed.
    """
    actor.check_of(tenant.pk, KIND.name)
    owner = fresh(tenant, "tenant")
    _check({"name": name, "url": url, "events": events})
    if WebhookEndpoint.objects.filter(tenant=owner).count() >= MOST_ENDPOINTS:
        raise InvalidRequest(f"a tenant has at most {MOST_ENDPOINTS} webhook endpoints: delete one first", code="invalid_field")
    secret = _new_secret()
    row = WebhookEndpoint(tenant=owner, name=name, url=url, events=list(events), hears_all=hears_all, is_enabled=is_enabled, secret=secret)
    return insert(actor, KIND, row, secrets=("secret",)), secret


@in_one_transaction
def change_webhook(actor: Actor, endpoint: WebhookEndpoint, **fields: Any) -> WebhookEndpoint:
    """Other values of some of FIELDS. It acts on the messages that wait already, too."""
    row = _within_reach(actor, endpoint)
    _check(fields)
    if "events" in fields:
        fields["events"] = list(fields["events"])
    return change(actor, KIND, row, fields)


@in_one_transaction
def delete_webhook(actor: Actor, endpoint: WebhookEndpoint) -> None:
    """Delete an endpoint with its messages. Jobs that name it end as they would; nobody is told."""
    remove(actor, KIND, _within_reach(actor, endpoint))


@in_one_transaction
def rotate_webhook(actor: Actor, endpoint: WebhookEndpoint, overlap: dt.timedelta) -> str:
    """A new secret; for `overlap` more each message is signed with the old one, too. Returns it.

    Raises InvalidRequest: `invalid_field` with the pointer /overlap.
    """
    row = _within_reach(actor, endpoint)
    if not dt.timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise InvalidRequest(f"an overlap is from 0 to {LONGEST_OVERLAP.days} days", code="invalid_field", pointer="/overlap")
    secret = _new_secret()
    row.previous_secret, row.secret = (row.secret if overlap else ""), secret
    row.previous_expires_at = Now() + overlap if overlap else None  # by the database's clock
    row.save()
    row.refresh_from_db()
    noted(actor, KIND, row, AuditAction.ROTATED, after={"old_until": row.previous_expires_at}, secrets=("secret",))
    return secret


def _within_reach(actor: Actor, endpoint: WebhookEndpoint) -> WebhookEndpoint:
    row = fresh(endpoint, KIND.name)
    actor.check_of(row.tenant_id, KIND.name)
    return row


def _new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


# ---- what an endpoint may be


def _check(fields: dict[str, Any]) -> None:
    """Raise InvalidRequest for what is wrong with these fields, all of them at once."""
    check_name(fields.get("name"))
    wrong = []
    if "url" in fields and (said := _wrong_with(fields["url"])):
        wrong.append(("url", said))
    if "events" in fields and not _are_events(fields["events"]):
        wrong.append(("events", f"name some of {', '.join(WebhookEvent.values)}, each one once; none: all of them"))
    if wrong:
        raise as_invalid(wrong)


def _are_events(value: Any) -> bool:
    return not isinstance(value, str) and len(set(value)) == len(value) and set(value) <= set(WebhookEvent.values)


def _wrong_with(url: object) -> str:
    """What is wrong with the address of an endpoint, "" for nothing. Where its name leads is looked at when it is sent to."""
    if not isinstance(url, str) or len(url) > MOST_URL_CHARS or _UNREADABLE.search(url):
        return f"write a URL of at most {MOST_URL_CHARS} characters, such as https://example.com/hooks/rateguard"
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return "this is no URL: write one such as https://example.com/hooks/rateguard"
    if parts.scheme not in {"http", "https"} or not is_whole:
        return "write a URL with https and a host, such as https://example.com/hooks/rateguard"
    if parts.username is not None or parts.fragment:
        return "the URL has no user and no #: messages are signed, and the receiver knows them by that"
    return _unreachable(parts.hostname or "", is_plain=parts.scheme == "http" and is_production())


def _unreachable(host: str, *, is_plain: bool) -> str:
    """Why nothing would be sent there, as far as the address says it by itself. is_plain: by http, where that is not enough."""
    if is_plain and not conf().webhook_networks:
        return "messages go by https: write an address that begins with https://"
    address = literal(host)
    if address is not None and not may_reach(address, is_plain=is_plain):
        return "this address is not public: whoever runs the service may allow its network (WEBHOOK_NETWORKS)"
    return ""
