"""Who hears of a job's end beside its canvas: known where it is submitted, so that a job of which nobody hears costs nothing more."""

from __future__ import annotations

import dataclasses
import functools

from rateguard import wiring
from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.models import Job, Tells
from rateguard.signals import job_ended
from tenants.models import Tenant, WebhookEndpoint


@dataclasses.dataclass(frozen=True, slots=True)
class _Endpoints:
    """A tenant's webhook endpoints: their names, and whether one that is enabled hears of all."""

    names: frozenset[str] = frozenset()
    is_one_for_all: bool = False


def tells_of(tenant: Tenant, webhook: str = "", pointer: str = "/job/webhook") -> int:
    """The bits of `Tells` for a job or batch of a tenant. webhook: the endpoint that it names. No query while nothing changes.

    Raises InvalidRequest: `unknown_webhook`.
    """
    known = _read(tenant.pk, wiring.directory().version)
    if webhook and webhook not in known.names:
        known = _read.__wrapped__(tenant.pk, 0)  # it may be new: this process hears of a change a moment later
        if webhook not in known.names:
            raise _unknown(webhook, known, pointer)
    told = Tells.WEBHOOK if webhook or known.is_one_for_all else Tells(0)
    return int(told | (Tells.SIGNAL if job_ended.has_listeners(Job) else Tells(0)))


@functools.lru_cache(maxsize=10_000)
def _read(tenant_id: int, version: int) -> _Endpoints:  # noqa: ARG001 - part of the cache's key: an older answer is unreachable
    rows = list(WebhookEndpoint.objects.filter(tenant=tenant_id).values_list("name", "hears_all", "is_enabled"))
    return _Endpoints(frozenset(name for name, *_ in rows), any(hears_all and is_enabled for _, hears_all, is_enabled in rows))


def _unknown(name: str, known: _Endpoints, pointer: str) -> InvalidRequest:
    there = f"the endpoints are {', '.join(sorted(known.names))}" if known.names else "this tenant has none yet"
    return InvalidRequest(f"there is no webhook endpoint {name!r}; {there}", code="unknown_webhook", pointer=pointer)


def forget() -> None:
    """Read every tenant's endpoints anew."""
    _read.cache_clear()
