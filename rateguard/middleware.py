"""`rateguard.middleware.ContextMiddleware`: what a web request submits is in the name of whoever is signed in.

It comes after Django's AuthenticationMiddleware. Nothing is asked of the database unless the request submits something, and nothing is
believed that the client says of itself. An explicit argument and a `rateguard.context` inside the view win over it.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.module_loading import import_string

from rateguard.conf import conf
from rateguard.engine.errors import ConfigurationError
from rateguard.jobs.inherit import inside_context
from rateguard.python.context import checked
from tenants.models import Member

GetResponse = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


class ContextMiddleware:
    """Puts a context around each request; on threads and on an event loop."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """The response."""
        if self._is_async:
            return self._respond(request)
        with inside_context(functools.partial(words_of, request)):
            return self._get_response(request)

    async def _respond(self, request: HttpRequest) -> HttpResponseBase:
        with inside_context(functools.partial(words_of, request)):
            return await cast("Awaitable[HttpResponseBase]", self._get_response(request))


def words_of(request: HttpRequest) -> Mapping[str, Any]:
    """What is said of the work of a request, by RATEGUARD["REQUEST_CONTEXT"] or by who is signed in. Raises InvalidRequest."""
    path = conf().request_context
    return checked((signed_in(request) if path is None else _function(path)(request)) or {})


def signed_in(request: HttpRequest) -> dict[str, Any]:
    """The user's name; and the tenant, where the user is a member of exactly one."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {}
    tenants = list(Member.objects.filter(user_id=user.pk).select_related("tenant")[:2])
    alone = {"tenant": tenants[0].tenant} if len(tenants) == 1 else {}
    return {"user": user.get_username(), **alone}


@functools.cache
def _function(path: str) -> Callable[[HttpRequest], Mapping[str, Any] | None]:
    try:
        return cast("Callable[[HttpRequest], Mapping[str, Any] | None]", import_string(path))
    except ImportError as error:
        raise ConfigurationError(f'RATEGUARD["REQUEST_CONTEXT"] is {path!r}, which cannot be imported: {error}') from error
