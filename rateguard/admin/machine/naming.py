"""Who is named to who looks: to an operator everybody, to a tenant's people its own keys and members."""

from __future__ import annotations

from django.http import HttpRequest

from rateguard.admin.base import reach_of
from tenants.told import names_told


def names_known(request: HttpRequest) -> frozenset[str] | None:
    """The names that may be told, asked once a request; None: all."""
    access = reach_of(request)
    if access.is_operator:
        return None
    found: frozenset[str] | None = getattr(request, "rateguard_names", None)
    if found is None:
        found = names_told(access.tenant_ids() or ())
        request.rateguard_names = found  # type: ignore[attr-defined]  # Django means requests to carry such attributes
    return found
