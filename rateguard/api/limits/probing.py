"""The view that looks whether a deployment is well: for nothing where that can be, by a call where somebody wants to pay for it."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.door import ApiView, operator_of
from rateguard.api.limits.shapes import ProbeShape, ProbeWishShape
from rateguard.api.params import Body
from rateguard.api.reading import has_body
from rateguard.api.rendering import usd
from rateguard.api.schema.describing import extend_schema, problems
from rateguard.engine.money import format_usd
from rateguard.jobs.controls.targets import find_named
from rateguard.jobs.intake.probing import Probed, probe, probe_by_call
from tenants.models import Deployment


class ProbeDeployment(ApiView):
    """POST: whether a deployment is well. For operators."""

    http_method_names = ("post",)

    @extend_schema(
        operation_id="probe_deployment",
        summary="Look whether a deployment is well, and what that costs",
        tags=["operation"],
        request=ProbeWishShape,
        responses={200: ProbeShape, **problems(402, 429)},
    )
    def post(self, request: Request, deployment: str) -> Response:
        """For operators. Asks for the provider's models, which costs nothing; where there is no such page it says what a call would cost.

        `spend` true: it submits a job of one token of output at this deployment, which the key's tenant pays; `job` names it.
        """
        caller = operator_of(request)
        row = find_named(Deployment.objects.all(), deployment)
        if row is None:
            raise NotFound
        is_spending = has_body(request) and Body(request, ("spend",)).flag("spend")
        probed = probe_by_call(row, caller.tenant, key=caller.key) if is_spending else probe(row)
        return Response(render_probe(row, probed))


def render_probe(row: Deployment, probed: Probed) -> dict[str, Any]:
    """What came of it."""
    return {
        "object": "probe",
        "deployment": row.name,
        "id": row.pk,
        "status": probed.listing.status,
        "reason": probed.listing.reason,
        "ms": probed.listing.ms,
        "cost_usd": None if probed.nano_usd is None else usd(probed.nano_usd),
        "cost_nano_usd": probed.nano_usd,
        "job": None if probed.job is None else str(probed.job.pk),
    }


def probe_in_words(row: Deployment, probed: Probed) -> str:
    """The same for a shell."""
    price = "what nobody knows: it has no price" if probed.nano_usd is None else f"at most {format_usd(probed.nano_usd)}"
    if probed.job is not None:
        return f"job {probed.job.pk} calls {row.name}, for {price}; how it ends: manage.py job show {probed.job.pk}"
    if not probed.listing.was_asked:
        return f"the provider of {row.name} cannot be asked for nothing; a call there costs {price}: --spend TENANT makes it"
    if probed.listing.is_good:
        return f"the provider of {row.name} answers in {probed.listing.ms:,} ms and takes the key; that cost nothing"
    return f"no good answer for {row.name}: {probed.listing.reason}; that cost nothing"
