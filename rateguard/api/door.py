"""What all views of /api/v1 have in common: our key, our JSON, our errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

from rest_framework.exceptions import PermissionDenied
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from rateguard.api.authentication import BearerKey, Caller
from rateguard.api.layers.waiting import method_of
from rateguard.api.problems import handle
from rateguard.api.rendering import JsonRenderer
from rateguard.api.schema.describing import ApiSchema
from tenants.models import Permission


class AlwaysJson(BaseContentNegotiation):
    """There is one representation, whatever a caller says to accept."""

    def select_parser(self, request: Request, parsers: Any) -> None:
        """Bodies are read by `reading`, bounded."""
        return

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> tuple[BaseRenderer, str]:
        """JSON."""
        return renderers[0], renderers[0].media_type


class MayDoThis(BasePermission):
    """The key has the permission that the view needs for this method."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """True; else it raises PermissionDenied, which says what is missing."""
        needed = cast("ApiView", view).needs.get(method_of(request))
        if needed is not None and needed not in caller_of(request).key.permissions:
            raise PermissionDenied(f"this needs a key with the permission {needed.value!r}; make one, or change this one's permissions")
        return True


class ApiView(APIView):
    """DRF's view with our key, our JSON and our errors, whatever a host project's settings say. needs: by method, what a key must have."""

    needs: ClassVar[Mapping[str, Permission]] = {
        "GET": Permission.READ,
        "HEAD": Permission.READ,
        "POST": Permission.SUBMIT,
        "DELETE": Permission.SUBMIT,
    }
    authentication_classes: Sequence[type[BearerKey]] = (BearerKey,)
    permission_classes: Sequence[type[BasePermission]] = (IsAuthenticated, MayDoThis)
    renderer_classes = (JsonRenderer,)
    parser_classes = ()
    throttle_classes = ()
    content_negotiation_class = AlwaysJson
    schema = ApiSchema()
    http_method_names: Sequence[str] = ("get", "head", "post")

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response]:
        """Problems, not DRF's own errors."""
        return handle


def caller_of(request: Request) -> Caller:
    """Who calls, as BearerKey found."""
    return cast("Caller", request.auth)


def operator_of(request: Request) -> Caller:
    """Who calls, with an operator's key. Raises PermissionDenied."""
    caller = caller_of(request)
    if not caller.key.is_operator:
        raise PermissionDenied("this key is a tenant's: what concerns all tenants takes a key with the operator flag")
    return caller
