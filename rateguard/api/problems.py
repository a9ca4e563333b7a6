"""Errors as RFC 9457 says: application/problem+json with a stable `code`.

    {type, title, status, detail, code, errors: [{pointer, detail}], request_id}

`type` leads to the code's place in the docs, `pointer` (RFC 6901) to the field of the request that must change.
"""

from __future__ import annotations

import dataclasses
import http
import logging
from typing import Any

import orjson
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from rateguard.engine.errors import GateError, InvalidRequest

logger = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"
DOCS = "/docs/errors#"
RETRY_AFTER_S = 1
GATE_IS_AWAY = "the gate does not answer, or is being rebuilt: send the same request again in a moment"

_STATUSES = {
    "idempotency_mismatch": 422,
    "body_too_large": 413,
    "unsupported_media_type": 415,
}
"""Where a request that must be changed is not simply a 400."""

_CODES = {
    400: ("invalid_request", "the request cannot be read"),
    401: ("unauthenticated", "send Authorization: Bearer and an API key that is in force"),
    403: ("forbidden", "this key may not do that"),
    404: ("not_found", "there is nothing here"),
    405: ("method_not_allowed", "this address takes other methods, see Allow"),
    413: ("body_too_large", "the body is too large"),
    500: ("internal_error", "this is our fault and has been noted; the request id names it"),
    503: ("unavailable", "the database does not answer: send the same request again in a moment"),
}


_FOREIGN: tuple[tuple[type[Exception], int], ...] = (
    (Http404, 404),
    (PermissionDenied, 403),
    (SuspiciousOperation, 400),
    (OperationalError, 503),
    (InterfaceError, 503),
)
"""What Django raises, as a status. Other errors of a database are ours."""


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One refusal. pointer: the JSON pointer of the field at fault, None where no field is."""

    status: int
    code: str
    detail: str
    pointer: str | None = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of_status(cls, status: int, headers: dict[str, str] | None = None) -> Problem:
        """What a bare status says."""
        phrase = http.HTTPStatus(status).phrase
        code, detail = _CODES.get(status, (phrase.lower().replace(" ", "_"), phrase))
        return cls(status, code, detail, headers=headers or {})

    def as_dict(self, request_id: str) -> dict[str, Any]:
        """The body."""
        return {
            "type": DOCS + self.code,
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "errors": [] if self.pointer is None else [{"pointer": self.pointer, "detail": self.detail}],
            "request_id": request_id,
        }


def as_http_response(problem: Problem, request_id: str) -> HttpResponse:
    """The problem as Django sends it, outside DRF's views."""
    return HttpResponse(
        orjson.dumps(problem.as_dict(request_id)), status=problem.status, content_type=PROBLEM_TYPE, headers=problem.headers
    )


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: every error of a view as a problem."""
    problem = _problem_of(error)
    if isinstance(error, GateError):
        logger.warning("a request was refused, the gate gave no answer: %s", error)
    elif problem.status >= 500:
        logger.error("a request failed", exc_info=error)
    set_rollback()
    request_id = getattr(context["request"], "request_id", "")
    return Response(problem.as_dict(request_id), status=problem.status, content_type=PROBLEM_TYPE, headers=problem.headers)


def _problem_of(error: Exception) -> Problem:
    if isinstance(error, InvalidRequest):
        return Problem(_STATUSES.get(error.code, 400), error.code, str(error), error.pointer)
    if isinstance(error, exceptions.PermissionDenied):
        return Problem(403, _CODES[403][0], str(error.detail))
    if isinstance(error, GateError):
        return Problem(503, _CODES[503][0], GATE_IS_AWAY, headers={"Retry-After": str(RETRY_AFTER_S)})
    if isinstance(error, exceptions.APIException):
        return Problem.of_status(error.status_code, _headers_of(error))
    for kind, status in _FOREIGN:
        if isinstance(error, kind):
            return Problem.of_status(status, {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {})
    return Problem.of_status(500)


def _headers_of(error: exceptions.APIException) -> dict[str, str]:
    """What a status must bring along; Allow is set by the view."""
    scheme = getattr(error, "auth_header", None)
    return {"WWW-Authenticate": scheme} if scheme else {}
