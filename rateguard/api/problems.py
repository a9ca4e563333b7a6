"""Errors as RFC 9457 says: application/problem+json with a stable `code`.

    {type, title, status, detail, code, errors: [{pointer, detail}], request_id}

`type` leads to the code's place on the page of all codes (`error_page`), `pointer` (RFC 6901) to each field of the request that must
change. A limit in the way is named by further members, and by headers (see `limit_headers`).
"""

from __future__ import annotations

import dataclasses
import http
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from django.urls import NoReverseMatch, reverse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

from rateguard.api.limit_headers import limit_headers
from rateguard.engine.errors import GateError, InvalidRequest, LimitInTheWay, NotAllowed, SecretUnreadable
from rateguard.jobs.batches.asked import LinesRefused
from rateguard.jobs.faults import escaped
from rateguard.screening.contract import MiddlewareBroke

logger = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
GATE_IS_AWAY = "the gate does not answer, or is being rebuilt: send the same request again in a moment"
BODY_IS_SEALED = "the job's request or answer was encrypted with a key that is not there: an operator must put it back into ENCRYPTION_KEYS"

_STATUSES = {
    "budget_exhausted": 402,
    "not_found": 404,
    "name_taken": 409,
    "in_use": 409,
    "key_revoked": 409,
    "not_retryable": 409,
    "not_requeueable": 409,
    "not_waiting": 409,
    "at_most_once": 409,
    "not_stored": 409,
    "webhook_disabled": 409,
    "not_resendable": 409,
    "run_stopped": 409,
    "run_deadline_passed": 409,
    "idempotency_mismatch": 422,
    "invalid_lines": 422,
    "too_many_lines": 413,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "secret_unreadable": 503,
    "busy": 503,
}
"""Where a refused request is not simply a 400, or 403 and 429 by its class."""

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
    """One refusal. errors: of each field at fault its JSON pointer and what is wrong. members: what else the body tells."""

    status: int
    code: str
    detail: str
    errors: tuple[tuple[str, str], ...] = ()
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    members: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of_status(cls, status: int, headers: dict[str, str] | None = None) -> Problem:
        """What a bare status says."""
        phrase = http.HTTPStatus(status).phrase
        code, detail = _CODES.get(status, (phrase.lower().replace(" ", "_"), phrase))
        return cls(status, code, detail, headers=headers or {})

    def as_dict(self, request_id: str, page: str | None = None) -> dict[str, Any]:
        """The body. page: of all codes; by default where the project put it, which no module may ask for while addresses are read."""
        return {
            "type": f"{page or _page_of_codes()}#{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "errors": [{"pointer": pointer, "detail": detail} for pointer, detail in self.errors],
            **self.members,
            "request_id": request_id,
        }


def _page_of_codes() -> str:
    try:
        return reverse("rateguard:errors")
    except NoReverseMatch:  # our answers, but not our addresses
        return "/api/v1/errors"


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
        return _refusal(error)
    if isinstance(error, exceptions.ValidationError):
        return _invalid_fields(error)
    if isinstance(error, exceptions.PermissionDenied):
        return Problem(403, _CODES[403][0], str(error.detail))
    if isinstance(error, exceptions.APIException):
        return Problem.of_status(error.status_code, _headers_of(error))
    return _of_others(error)


def _of_others(error: Exception) -> Problem:
    """What neither our inside nor DRF raised, the gate's silence, and a key that is gone."""
    if isinstance(error, GateError):
        return Problem(503, _CODES[503][0], GATE_IS_AWAY, headers={"Retry-After": str(RETRY_AFTER_S)})
    if isinstance(error, SecretUnreadable):
        return Problem(_STATUSES[error.code], error.code, BODY_IS_SEALED)
    if isinstance(error, MiddlewareBroke):
        return Problem(500, error.code, str(error))
    for kind, status in _FOREIGN:
        if isinstance(error, kind):
            return Problem.of_status(status, {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {})
    return Problem.of_status(500)


def _headers_of(error: exceptions.APIException) -> dict[str, str]:
    """What a status must bring along; Allow is set by the view."""
    scheme = getattr(error, "auth_header", None)
    return {"WWW-Authenticate": scheme} if scheme else {}


def _refusal(error: InvalidRequest) -> Problem:
    """What the inside refused; of a limit in the way also which, and when to come again."""
    if isinstance(error, LimitInTheWay):
        status, headers, members = 429, limit_headers(error), {name: getattr(error, name) for name in _OF_A_LIMIT}
    elif isinstance(error, LinesRefused):
        status, headers, members = 422, {}, {"lines": [dataclasses.asdict(fault) for fault in error.faults], "line_count": error.count}
    else:
        status, headers, members = 403 if isinstance(error, NotAllowed) else 400, {}, {}
    return Problem(_STATUSES.get(error.code, status), error.code, str(error), error.errors, headers, members)


_OF_A_LIMIT = ("scope_kind", "scope", "limit", "amount", "left", "unit")


def _invalid_fields(error: exceptions.ValidationError) -> Problem:
    """What a serializer found, each field with its place."""
    errors = tuple(_places_in(error.detail, ""))
    detail = errors[0][1] if len(errors) == 1 else "; ".join(f"{pointer or 'the request'}: {text}" for pointer, text in errors)
    return Problem(400, "invalid_field", detail, errors)


def _places_in(detail: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """A serializer's errors by JSON pointer: of objects by name, of lists by number, several texts of one field in one."""
    if isinstance(detail, Mapping):
        for name, inside in detail.items():
            is_of_the_whole = name == api_settings.NON_FIELD_ERRORS_KEY
            yield from _places_in(inside, pointer if is_of_the_whole else f"{pointer}/{escaped(str(name))}")
    elif isinstance(detail, list | tuple):
        texts = [str(one) for one in detail if not isinstance(one, Mapping | list | tuple)]
        if texts:
            yield pointer, " ".join(texts)
        for index, inside in enumerate(detail):
            if isinstance(inside, Mapping | list | tuple):
                yield from _places_in(inside, f"{pointer}/{index}")
    else:
        yield pointer, str(detail)
