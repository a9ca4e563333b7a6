"""How the views of /api/v1 describe themselves: one AutoSchema, whatever a host project's settings say, and one shape of all problems.

A view says with `@extend_schema` (this module's) its operation id, summary, tags, parameters, request and answers; `problems(404, 409)`
gives the refusals that are its own. What every operation may answer (400, 401, 403, 503; 404 with a name in the path; 413 and 415 with a
body) is added here, and so are the headers that come with a status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from drf_spectacular.utils import extend_schema as extend_any_schema
from rest_framework import serializers

from rateguard.api.problems import PROBLEM_TYPE, Problem

View = TypeVar("View", bound=Callable[..., Any])

TITLE = "rateguard"
TAGS = {
    "jobs": "Work: submit it, wait for it, list, cancel and retry it.",
    "batches": "Many jobs at once: all or none come in; their progress, their answers in order, the cancelling of the rest.",
    "runs": "A run holds the work of one agent or one batch together: own budget, number of calls, deadline, and one switch that stops it.",
    "limits": "What limits a request, what is left, and what a request would cost.",
    "models": "What may be called.",
    "usage": "What was used and what it cost.",
    "management": "Tenants, keys, limits, budgets, providers: for keys with the permission `manage`.",
    "operation": "Pauses, breakers, capacity: mostly for operators' keys.",
    "schema": "This description.",
}

MEANINGS = {
    400: "The request cannot be accepted as it is: `code` says why, `errors` which field.",
    401: "There is no key, or it is not in force.",
    402: "A budget is exhausted.",
    403: "The key may not do this.",
    404: "There is nothing here that the key may see.",
    405: "The address takes other methods.",
    409: "The state does not allow it.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "The Idempotency-Key came with another request before.",
    429: "There is no room now: `scope`, `limit` and `Retry-After` say where and when.",
    503: "The database or the gate does not answer: send the same request again.",
}
EXAMPLES = {
    400: ("unknown_model", "there is no model 'gpt-9'; the models are: gpt-5.4-mini, text-embedding-3-small"),
    401: ("unauthenticated", "send Authorization: Bearer and an API key that is in force"),
    402: (
        "budget_exhausted",
        "this request reserves $0.20, and the budget (tenant acme: $5.00 a day), of which $0.13 is left, cannot pay it",
    ),
    403: ("model_not_allowed", "this key may not use the model 'gpt-5.4'; it may use gpt-5.4-mini"),
    404: ("not_found", "there is nothing here"),
    405: ("method_not_allowed", "this address takes other methods, see Allow"),
    409: ("run_stopped", "this run was stopped"),
    413: ("body_too_large", "the body has more than 8388608 bytes"),
    415: ("unsupported_media_type", "send the body as application/json"),
    422: ("idempotency_mismatch", "this Idempotency-Key came with another request before: use a new key for a new request"),
    429: ("queue_full", "10,000 jobs of tenant acme wait, and 10,000 may: send it again when some have started"),
    503: ("unavailable", "the database does not answer: send the same request again in a moment"),
}
"""By status, one of the codes and what it says."""
_LIMITS: dict[int, dict[str, Any]] = {
    402: {"limit": "tenant acme: $5.00 a day", "amount": 5_000_000_000, "left": 130_000_000, "unit": "nano_usd"},
    429: {"limit": "tenant acme: 10,000 waiting jobs", "amount": 10_000, "left": 0, "unit": "jobs"},
}
_COMMON = (400, 401, 403, 503)
_WITH_BODY = (413, 415)


class Shape(serializers.Serializer[Any]):
    """The shape of an object, for the schema. As a request it takes no other fields, unless `is_open`, and has to be sent."""

    is_open = False
    may_be_absent = False


def constant(word: str) -> serializers.ChoiceField:
    """A field that holds this word."""
    return serializers.ChoiceField([word])


def list_of(shape: type[Shape], **further: serializers.Field[Any, Any, Any, Any]) -> type[Shape]:
    """The shape of a list of these. Make it once a module: the schema calls it by its name."""
    name = shape.__name__.removesuffix("Shape")
    fields = {"object": constant("list"), "data": shape(many=True), **further}
    return type(f"{name}ListShape", (Shape,), {"__module__": shape.__module__, "__doc__": f"A list of {name}.", **fields})


class FieldAtFaultShape(Shape):
    """A field that must change."""

    pointer = serializers.CharField(help_text="JSON pointer (RFC 6901) into the body; empty for the whole of it.")
    detail = serializers.CharField()


class LineFaultShape(Shape):
    """A line of a batch that cannot be a job."""

    line = serializers.IntegerField(help_text="The first is 1.")
    custom_id = serializers.CharField()
    code = serializers.CharField()
    message = serializers.CharField()
    pointer = serializers.CharField(help_text="JSON pointer into the line.")


class ProblemShape(Shape):
    """A refusal (RFC 9457)."""

    type = serializers.CharField(help_text="Where the docs explain the code.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What is wrong and what to do, for people.")
    code = serializers.CharField(help_text="Stable: compare this.")
    errors = FieldAtFaultShape(many=True)  # type: ignore[assignment]  # DRF takes fields off the class, so none hides its property
    request_id = serializers.CharField(help_text="Also in the header X-Request-ID and in our logs.")
    scope_kind = serializers.CharField(required=False, help_text="With 402 and 429: the kind of node whose limit is in the way.")
    scope = serializers.CharField(required=False, help_text="With 402 and 429: its name.")
    limit = serializers.CharField(required=False, help_text="With 402 and 429: the limit in words.")
    amount = serializers.IntegerField(required=False, allow_null=True, help_text="Its amount; null where the key may not see it.")
    left = serializers.IntegerField(required=False, allow_null=True, help_text="What is left of it.")
    lines = LineFaultShape(many=True, required=False, help_text="With `invalid_lines`: the first hundred lines at fault.")
    line_count = serializers.IntegerField(required=False, help_text="With `invalid_lines`: how many lines are.")
    unit = serializers.CharField(required=False, help_text="Of both: `requests`, `tokens`, `nano_usd`, `jobs`.")


def problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """The refusals with these statuses, for `responses` of `@extend_schema`."""
    return {(status, PROBLEM_TYPE): _problem(status) for status in statuses}


def _problem(status: int) -> OpenApiResponse:
    code, detail = EXAMPLES[status]
    errors = (("/model", detail),) if status == 400 else ()
    value = Problem(status, code, detail, errors).as_dict("5f0c2f7be9e04f0d9b1f4e3c2a1d0b9e", page="/api/v1/errors")
    if status in {402, 429}:
        value |= {"scope_kind": "tenant", "scope": "acme", **_LIMITS[status]}
    example = OpenApiExample(code, value, media_type=PROBLEM_TYPE, status_codes=[str(status)], response_only=True)
    return OpenApiResponse(ProblemShape, description=MEANINGS[status], examples=[example])


class ApiSchema(AutoSchema):
    """Describes a view of ours: JSON both ways, problems, the headers of a status."""

    def map_parsers(self) -> list[str]:
        """Our views read their bodies themselves."""
        return ["application/json"]

    def map_renderers(self, attribute: str) -> list[str]:
        """There is one representation."""
        return [getattr(renderer, attribute) for renderer in self.view.renderer_classes]

    def get_serializer_name(self, serializer: Any, direction: str) -> str:
        """`JobShape` is called Job."""
        return type(serializer).__name__.removesuffix("Shape")

    def _map_serializer(self, serializer: Any, direction: str, bypass_extensions: bool = False) -> dict[str, Any]:
        schema: dict[str, Any] = super()._map_serializer(serializer, direction, bypass_extensions)  # type: ignore[no-untyped-call]
        if direction == "request" and schema.get("type") == "object" and not getattr(serializer, "is_open", True):
            schema["additionalProperties"] = False
        return schema

    def _get_request_body(self, direction: Literal["request", "response"] = "request") -> dict[str, Any] | None:
        found: dict[str, Any] | None = super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        if found and not getattr(self.get_request_serializer(), "may_be_absent", False):
            found["required"] = True
        return found

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        found: dict[str, Any] = super()._get_response_bodies(direction)
        for status in self._statuses_of_all():
            if str(status) not in found:
                (key, said), *_ = problems(status).items()
                found[str(status)] = self._get_response_for_code(said, str(status), key[1:], direction)  # type: ignore[no-untyped-call]
        for code, response in found.items():
            response.setdefault("headers", {}).update(_headers_of(int(code)))
        return dict(sorted(found.items()))

    def _statuses_of_all(self) -> tuple[int, ...]:
        """What any operation like this one may answer."""
        if not self.view.authentication_classes:
            return ()
        has_name = "{" in self.path
        has_body = self.method in {"POST", "PUT", "PATCH"} and self._get_request_body()
        return (*_COMMON, *((404,) if has_name else ()), *(_WITH_BODY if has_body else ()))


def extend_schema(**said: Any) -> Callable[[View], View]:
    """drf-spectacular's decorator on top of ApiSchema, where that would take the host project's DEFAULT_SCHEMA_CLASS."""

    def describe(view: View) -> View:
        view.schema = ApiSchema  # type: ignore[attr-defined]  # where the decorator looks for what to build on
        return extend_any_schema(**said)(view)

    return describe


_TEXT = {"type": "string"}


def _headers_of(status: int) -> Mapping[str, Any]:
    """The headers of every answer with this status."""
    headers = {"X-Request-ID": {"schema": _TEXT, "description": "The caller's own, or one of ours; it stands in our logs."}}
    if status == 401:
        headers["WWW-Authenticate"] = {"schema": _TEXT, "description": "The scheme to use."}
    if status in {402, 429, 503}:
        headers["Retry-After"] = {"schema": {"type": "integer", "minimum": 0}, "description": "Seconds until it is worth trying again."}
    if status in {402, 429}:
        headers["RateLimit-Policy"] = {"schema": _TEXT, "description": "The limit in the way: its amount and window."}
        headers["RateLimit"] = {"schema": _TEXT, "description": "What is left of it, and in how many seconds there is more."}
    return headers


class BearerKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Our keys as a security scheme."""

    target_class = "rateguard.api.authentication.BearerKey"
    name = "key"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """HTTP's Bearer."""
        return {"type": "http", "scheme": "bearer", "description": "An API key, `rg_…`."}
