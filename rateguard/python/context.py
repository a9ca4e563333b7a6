"""`rateguard.context`: who pays for the work inside a block, in whose name and in which lane it is done.

    with rateguard.context(tenant="acme", team="search", labels={"feature": "answers"}):
        complete.delay("Plan it", model="gpt-5.4-mini")       # acme pays
        with rateguard.context(user="ada", labels={"step": "2"}):
            dig_deeper.delay()                                # a Celery task: what it submits says all of this too

In a coroutine write `async with`. What a call says itself wins over the context, the inner context over the one around it; labels are
gathered. It goes along with Celery tasks, as runs do; a thread of your own starts without any.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.jobs.inherit import enter_context, leave_context, said_around
from rateguard.jobs.intake.submission import NAMES
from rateguard.jobs.names import check_name
from tenants.models import Tenant

WORDS = ("tenant", *NAMES, "labels", "lane")
"""All that a context may say."""


class Context:
    """A block of work with these words. It may be entered again."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._said = said

    def __enter__(self) -> Self:
        enter_context(self._said)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        leave_context()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        leave_context()


def context(
    *,
    tenant: Tenant | str | None = None,
    user: str | None = None,
    team: str | None = None,
    rolegroup: str | None = None,
    role: str | None = None,
    cost_center: str | None = None,
    labels: Mapping[str, str] | None = None,
    lane: Lane | str | None = None,
) -> Context:
    """A context for `with` or `async with`; what is None is left to the context around it. Raises InvalidRequest."""
    names = {"user": user, "team": team, "rolegroup": rolegroup, "role": role, "cost_center": cost_center}
    return Context(checked({**names, "tenant": tenant, "labels": labels, "lane": lane}))


def checked(said: Mapping[str, Any]) -> dict[str, Any]:
    """The words that are said, in their types. Raises InvalidRequest: `invalid_field`, `unknown_lane`."""
    given = {word: value for word, value in said.items() if value is not None}
    if unknown := sorted(set(given) - set(WORDS)):
        raise InvalidRequest(f"a context says {', '.join(WORDS)}; not {', '.join(unknown)}", code="invalid_field")
    for name in NAMES:
        if name in given:
            check_name(given[name], f"/job/{name}")
    if not isinstance(given.get("tenant", ""), Tenant | str):
        raise InvalidRequest("a tenant is said by its name", code="invalid_field", pointer="/tenant")
    if "labels" in given:
        if not isinstance(given["labels"], Mapping):
            raise InvalidRequest("labels are an object of texts", code="invalid_field", pointer="/job/labels")
        given["labels"] = dict(given["labels"])
    if "lane" in given:
        given["lane"] = parse_lane(given["lane"])
    return given


def filled(options: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a call, with those that it leaves out taken from the context around it."""
    said = said_around()
    mine = {word: value for word, value in options.items() if value is not None}
    if "labels" in said and isinstance(mine.get("labels", {}), Mapping):
        mine["labels"] = {**said["labels"], **mine.get("labels", {})}
    if mine.get("run") is not None:
        said.pop("tenant", None)  # the run that the call names has its own
    return {**said, **mine}
