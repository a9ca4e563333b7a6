"""Who calls: `Authorization: Bearer rg_…`."""

from __future__ import annotations

import dataclasses

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from structlog.contextvars import bind_contextvars

from tenants.keys import SECRET_PREFIX, find_key
from tenants.models import ApiKey, Tenant

LONGEST_SECRET = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the tenant that pays, and the key with which it came in."""

    tenant: Tenant
    key: ApiKey
    is_authenticated: bool = True


class BearerKey(BaseAuthentication):
    """A tenant's key. An operator's key is a tenant's key here."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller] | None:
        """The caller; None where no key was sent. Raises AuthenticationFailed for one that is not in force."""
        scheme, _, secret = request.headers.get("Authorization", "").strip().partition(" ")
        if not scheme:
            return None
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret.startswith(SECRET_PREFIX) or len(secret) > LONGEST_SECRET:
            raise AuthenticationFailed
        key = find_key(secret)
        if key is None:
            raise AuthenticationFailed
        caller = Caller(key.tenant, key)
        bind_contextvars(tenant=key.tenant.pk)
        return caller, caller

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return 'Bearer realm="rateguard"'
