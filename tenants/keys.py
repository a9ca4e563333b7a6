"""API keys: made, found, revoked. A secret is shown once; the database holds its SHA-256 (it is random: 240 bits need no salt)."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Collection
from typing import Any

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from tenants.compiled import Compiled
from tenants.models import ApiKey, Permission, Tenant, TenantStatus
from tenants.models.tenant import default_permissions

SECRET_PREFIX = "rg_"  # noqa: S105 -- what every secret begins with, not one
SHOWN_CHARACTERS = 12


def digest_of(secret: str) -> str:
    """What is kept of a random secret, and found by."""
    return hashlib.sha256(secret.encode()).hexdigest()


def issue_key(
    tenant: Tenant, name: str, *, is_operator: bool = False, expires_at: dt.datetime | None = None, **settings: Any
) -> tuple[ApiKey, str]:
    """Make a key. Returns its row and its secret (`rg_` and 40 characters), which nobody can read again.

    settings: further fields of the row. Without `permissions` an operator's key has all, another may read and submit.
    """
    settings.setdefault("permissions", list(Permission.values) if is_operator else default_permissions())
    secret = SECRET_PREFIX + secrets.token_urlsafe(30)
    key = ApiKey.objects.create(
        tenant=tenant,
        name=name,
        prefix=secret[:SHOWN_CHARACTERS],
        digest=digest_of(secret),
        is_operator=is_operator,
        expires_at=expires_at,
        **settings,
    )
    return key, secret


def find_key(secret: str) -> ApiKey | None:
    """The key of a secret with its tenant, or None: unknown, expired, revoked, or of a paused tenant.

    Each answer costs one hash and one query, so that its time tells nothing; the comparison is of digests, by an index.
    """
    return _IN_FORCE.one(digest=digest_of(secret))


def in_force_among(keys: Collection[int]) -> set[int]:
    """Those of these keys, by their ids, that are neither expired nor revoked, nor of a paused tenant."""
    return set(_fresh().filter(pk__in=keys).values_list("pk", flat=True))


def _fresh() -> QuerySet[ApiKey]:
    is_fresh = Q(expires_at__isnull=True) | Q(expires_at__gt=Now())
    return ApiKey.objects.filter(is_fresh, revoked_at__isnull=True, tenant__status=TenantStatus.ACTIVE)


def _in_force(digest: str) -> QuerySet[ApiKey]:
    return _fresh().select_related("tenant").filter(Q(digest=digest) | Q(previous_digest=digest, previous_expires_at__gt=Now()))


_IN_FORCE = Compiled(ApiKey, _in_force, digest=(ApiKey._meta.get_field("digest"), "a digest"))  # noqa: SLF001 - Django's public name for it


def rotate_key(key: ApiKey, overlap: dt.timedelta) -> str:
    """Give a key a new secret and return it. The old one is good for so long more; the key's id, and all that is bound to it, stay."""
    secret = SECRET_PREFIX + secrets.token_urlsafe(30)
    ApiKey.objects.filter(pk=key.pk).update(
        previous_digest=F("digest"),
        previous_expires_at=Now() + overlap,
        digest=digest_of(secret),
        prefix=secret[:SHOWN_CHARACTERS],
        rotated_at=Now(),
    )
    key.refresh_from_db()
    return secret


def revoke_key(key: ApiKey) -> None:
    """End a key now, by the database's clock. Revoking again keeps the first time."""
    ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=Now())
