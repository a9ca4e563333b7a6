"""How the views of management describe themselves: list, create, show, change and delete are the same for each thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from rateguard.api.jobs.shapes import LOCATION
from rateguard.api.limits.shapes import name_of, whole
from rateguard.api.manage.paging import MOST, USUAL
from rateguard.api.manage.reading import RequestShape
from rateguard.api.params import MOST_PK
from rateguard.api.schema.describing import Shape, extend_schema, problems

View = TypeVar("View", bound=Callable[..., Any])

PAGE = [
    whole("cursor", 0, MOST_PK, "`next_cursor` of the page before."),
    whole("limit", 1, MOST, f"How many at most, {USUAL} where absent."),
]
TENANT = name_of("tenant", "Of this tenant alone, by name or id.")


def lists(things: str, answer: type[Shape], *filters: OpenApiParameter) -> Callable[[View], View]:
    """GET of a list. The tenant that it is asked of may not be there."""
    missing = problems(404) if TENANT in filters else {}
    return _says(f"list_{things}", f"The {things}", parameters=[*filters, *PAGE], responses={200: answer, **missing})


def creates(thing: str, body: type[RequestShape], answer: type[Shape]) -> Callable[[View], View]:
    """POST of a new one."""
    return _says(f"create_{thing}", f"Make {_one(thing)}", parameters=[LOCATION], request=body, responses={201: answer, **problems(409)})


def shows(thing: str, answer: type[Shape]) -> Callable[[View], View]:
    """GET of one."""
    return _says(f"get_{thing}", f"{_one(thing).capitalize()}", responses={200: answer})


def changes(thing: str, body: type[RequestShape], answer: type[Shape]) -> Callable[[View], View]:
    """PATCH of one: the fields that are named, and no other."""
    return _says(f"change_{thing}", f"Change {_one(thing)}", request=body, responses={200: answer, **problems(409)})


def deletes(thing: str, summary: str = "") -> Callable[[View], View]:
    """DELETE of one."""
    done = OpenApiResponse(description="It is done.")
    return _says(f"delete_{thing}", summary or f"Delete {_one(thing)}", responses={204: done, **problems(409)})


def describes(operation_id: str, summary: str, **said: Any) -> Callable[[View], View]:
    """Anything else."""
    return _says(operation_id, summary, **said)


def _says(operation_id: str, summary: str, *, parameters: Sequence[OpenApiParameter] = (), **said: Any) -> Callable[[View], View]:
    return extend_schema(operation_id=f"manage_{operation_id}", summary=summary, tags=["management"], parameters=list(parameters), **said)


def _one(thing: str) -> str:
    return f"an {thing}" if thing[0] in "aeiou" else f"a {thing}"
