"""What a middleware is: an object with `before`, `after` or both, either of which may be a coroutine function.

    class NoSecrets:
        def before(self, request, context):
            if "BEGIN PRIVATE KEY" in str(request["messages"]):
                raise Refused("this request holds a private key")

RATEGUARD["MIDDLEWARE"] names it by its dotted path: a class, made once a process without arguments, or an object.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from rateguard.engine.errors import InvalidRequest, RateguardError

Body = dict[str, Any]
"""A request or an answer in OpenAI's shape. A middleware gets a copy: it may change it, or return another; None: it stays as it is."""
Given = Body | None
Maybe = Given | Awaitable[Given]


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """Whose request it is, and where it stands. What is not known yet is empty.

    job: the job's id, and attempt, deployment: of the call that brought the answer; `after` alone knows them. via: the door that it came
    by (`rest`, `delay`, `batch`, …), names (user, team, rolegroup, role, cost_center), labels and metadata: `before` alone knows them.
    """

    tenant_id: int
    model: str
    endpoint: str
    via: str = ""
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    job: uuid.UUID | None = None
    attempt: int = 0
    deployment: str = ""


class Before(Protocol):
    """Has `before`."""

    def before(self, request: Body, context: Context) -> Maybe:
        """What is to be stored and sent in place of this request. Raises Refused."""


class After(Protocol):
    """Has `after`."""

    def after(self, answer: Body, request: Body, context: Context) -> Maybe:
        """What is to be stored and told in place of this answer to this request. Raises Refused."""


class Refused(InvalidRequest):
    """A middleware does not let this through. The reason is what the caller reads: it says what to do, and repeats nothing secret."""

    code = "refused_by_middleware"

    def __init__(self, reason: str, *, pointer: str = "") -> None:
        super().__init__(reason, code=self.code, pointer=pointer)


class MiddlewareBroke(RateguardError):
    """A middleware raised what is no refusal, or gave what is no request or answer. Its own words stand in the log alone."""

    code = "middleware_broke"
