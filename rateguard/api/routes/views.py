"""The view of routes: which deployment of a model would be asked first now, and why."""

from __future__ import annotations

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.authentication import Caller
from rateguard.api.door import ApiView, caller_of, operator_of
from rateguard.api.limits.shapes import MOST_TOKENS
from rateguard.api.params import Query
from rateguard.api.routes.rendering import render_explained
from rateguard.api.routes.shapes import MOST_SESSION_CHARS, QUESTION, ExplainedShape
from rateguard.api.schema.describing import extend_schema
from rateguard.engine.wildcards import is_allowed
from rateguard.jobs.controls.targets import find_named
from rateguard.jobs.insight.routes import Question, explain
from tenants.models import Tenant

_ASKED = ("lane", "input_tokens", "max_tokens", "session", "tenant")


class ExplainRoute(ApiView):
    """GET: how a model chooses now."""

    http_method_names = ("get", "head")

    @extend_schema(
        operation_id="explain_route",
        summary="Which deployment is asked first, and why",
        tags=["models"],
        parameters=QUESTION,
        responses={200: ExplainedShape},
    )
    def get(self, request: Request, name: str) -> Response:
        """A tenant's key sees its own list, without what others' use shows; an operator sees everything, of any tenant's list."""
        caller, query = caller_of(request), Query(request, _ASKED)
        whose = query.text("tenant")
        question = Question(
            model=name,
            tenant_id=_tenant(request, whose) if whose or caller.key.is_operator else caller.tenant.pk,
            viewer=None if caller.key.is_operator else caller.tenant.pk,
            lane=query.lane(),
            input_tokens=query.whole("input_tokens", 1, 0, MOST_TOKENS),
            max_tokens=query.whole("max_tokens", 0, 0, MOST_TOKENS),
            session=query.text("session", most=MOST_SESSION_CHARS),
        )
        found = explain(question) if _may(caller, name) else None
        if found is None:
            raise NotFound
        return Response(render_explained(found))


def _tenant(request: Request, name: str) -> int | None:
    """The tenant whose list an operator asks for; None: the list of all who have none of their own. Raises PermissionDenied, NotFound."""
    operator_of(request)
    if not name:
        return None
    found = find_named(Tenant.objects.all(), name)
    if found is None:
        raise NotFound
    return found.pk


def _may(caller: Caller, model: str) -> bool:
    allowed = caller.key.allowed_models
    return not allowed or is_allowed(allowed, model)
