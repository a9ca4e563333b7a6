"""The view that asks a deployment's provider for its limits."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.door import ApiView, operator_of
from rateguard.api.limits.shapes import SyncShape
from rateguard.api.schema.describing import extend_schema
from rateguard.jobs.controls.syncing import Synced, sync
from rateguard.jobs.controls.targets import find_named
from rateguard.jobs.insight.naming import in_words
from tenants.models import Deployment


class SyncDeployment(ApiView):
    """POST: ask the provider now, and lift what cools the deployment. For operators."""

    http_method_names = ("post",)

    @extend_schema(
        operation_id="sync_deployment",
        summary="Ask a deployment's provider for its limits, and lift what cools it",
        tags=["operation"],
        request=None,
        responses={200: SyncShape},
    )
    def post(self, request: Request, deployment: str) -> Response:
        """For operators. It asks for the provider's models, which costs nothing.

        What cools the deployment or its account is lifted, unless the provider still refuses the credentials.
        """
        caller = operator_of(request)
        row = find_named(Deployment.objects.all(), deployment)
        if row is None:
            raise NotFound
        return Response(render_sync(row, sync(row, f"key {caller.key.prefix}")))


def render_sync(row: Deployment, synced: Synced) -> dict[str, Any]:
    """What came of it."""
    return {
        "object": "sync",
        "deployment": row.name,
        "id": row.pk,
        "status": synced.listing.status,
        "reason": synced.listing.reason,
        "lifted": [{"target": one.target, "for_ms": one.for_ms} for one in synced.lifted],
        "limits": [
            {"limit": one.limit, "amount": one.told, "remaining": one.remaining, "reset_ms": one.reset_ms} for one in synced.readings
        ],
    }


def sync_in_words(row: Deployment, synced: Synced) -> str:
    """The same for a shell."""
    no_answer = f"no good answer for {row.name}: {synced.listing.reason}"
    lines = [f"the provider of {row.name} answered" if synced.listing.is_good else no_answer]
    lines += [f"lifted: {in_words(one.target)} takes work again" for one in synced.lifted]
    lines += [f"{in_words(one.limit)}: {one.remaining} of {one.told} left" for one in synced.readings]
    return "\n".join(lines if synced.readings else [*lines, "it tells nothing of its limits there"])
