"""Each request has an id: the caller's X-Request-ID or one of ours. It stands in the reply, in every log line and in the job's row."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponseBase

from rateguard.api.problems import PROBLEM_TYPE, Problem, as_http_response

HEADER = "X-Request-ID"
API_PREFIX = "/api/"
_ACCEPTED = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def request_id_of(request: HttpRequest) -> str:
    """The id that the middleware gave this request; empty where a project leaves the middleware out."""
    return getattr(request, "request_id", "")


class RequestIdMiddleware:
    """First of all: names the request, and turns what Django itself refuses under /api into a problem."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request under its id."""
        given = request.headers.get(HEADER, "")
        request_id = given if _ACCEPTED.fullmatch(given) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]  # Django means requests to carry such attributes
        with structlog.contextvars.bound_contextvars(request_id=request_id, tenant=None):  # the key tells the tenant
            response = self._get_response(request)
        if _is_djangos_own_error(request, response):
            response = as_http_response(Problem.of_status(response.status_code), request_id)
        response.headers[HEADER] = request_id
        return response


def _is_djangos_own_error(request: HttpRequest, response: HttpResponseBase) -> bool:
    is_under_api = f"{request.path}/".startswith(API_PREFIX)
    return is_under_api and response.status_code >= 400 and response.headers.get("Content-Type", "") != PROBLEM_TYPE
