"""What is done to many jobs at once: read from the body, done by the inside, told in counts."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.door import ApiView, caller_of
from rateguard.api.jobs.filters import KNOWN, LABEL, read_search
from rateguard.api.jobs.many_shapes import MANY_EXAMPLES, ManyDoneShape, ManyShape
from rateguard.api.params import Body
from rateguard.api.rendering import time_text
from rateguard.api.schema.describing import extend_schema
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.jobs.clock import database_now
from rateguard.jobs.faults import escaped
from rateguard.jobs.insight.search import Search
from rateguard.jobs.models import Job
from rateguard.jobs.steering.many import Done, do
from rateguard.jobs.steering.wishes import Choice, Deed, Wish, choose

_FIELDS = ("action", "filter", "lane", "dry_run", "as_of")


class ManyJobs(ApiView):
    """POST: cancel, retry, requeue or move to another lane what a filter finds."""

    @extend_schema(
        operation_id="act_on_jobs",
        summary="Cancel, retry, requeue or move many jobs",
        tags=["jobs"],
        request=ManyShape,
        examples=MANY_EXAMPLES,
        responses={200: ManyDoneShape},
    )
    def post(self, request: Request) -> Response:
        """At most 10,000 jobs a go, the newest first, for at most 20 seconds; `left` says how many remain, and the same again does them.

        With `dry_run` it says what it would do. What is done is done to each job as by its own address, and stands in its events.
        """
        caller = caller_of(request)
        body = Body(request, _FIELDS)
        wish = _wish(body)
        rows = _search(body.object("filter")).matching(Job.objects.filter(tenant=caller.tenant))
        choice = choose(rows, wish)
        is_dry = body.flag("dry_run")
        done = None if is_dry else do(choice, by=f"key {caller.key.prefix}", key=caller.key)
        return Response(render_many(choice, done))


def _wish(body: Body) -> Wish:
    deed = Deed(body.choice("action", [deed.value for deed in Deed]))
    lane = Lane.NORMAL
    if deed == Deed.LANE:
        lane = parse_lane(body.choice("lane", [lane.label for lane in Lane]))
    elif body.text("lane", 20):
        raise InvalidRequest("only the action lane takes a lane", code="invalid_field", pointer="/lane")
    now = database_now()
    return Wish(deed, min(body.time("as_of") or now, now), lane)


def _search(given: dict[str, Any]) -> Search:
    """A filter as the parameters of a list are read. Raises InvalidRequest."""
    query = QueryDict(mutable=True)
    for name, value in given.items():
        if name not in {*KNOWN, "label"} and not name.startswith(LABEL):
            raise InvalidRequest(f"a filter has {', '.join(KNOWN)}, label", code="unknown_field", pointer=f"/filter/{escaped(name)[:100]}")
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(one, str | int) and not isinstance(one, bool) for one in values):
            raise InvalidRequest("write a text, or a list of texts", code="invalid_field", pointer=f"/filter/{escaped(name)[:100]}")
        query.setlist(name, [str(one) for one in values])
    if not query:
        raise InvalidRequest("say which jobs are meant: by status, model, label or another filter", code="invalid_field", pointer="/filter")
    return read_search(query)


def render_many(choice: Choice, done: Done | None) -> dict[str, Any]:
    """What a wish meets and, where it was done, what became of it."""
    became = done or Done()
    return {
        "object": "jobs",
        "action": choice.wish.deed.value,
        "dry_run": done is None,
        "as_of": time_text(choice.wish.as_of),
        "chosen": len(choice.ids),
        "by_status": dict(choice.states),
        "by_model": dict(choice.models),
        "by_fingerprint": dict(choice.fingerprints),
        "left_out": dict(choice.others),
        "moved": became.moved,
        "asked": became.asked,
        "refused": [
            {"code": code, "detail": str(refusal), "jobs": became.refused.jobs[code]} for code, refusal in became.refused.first.items()
        ],
        "left": choice.left + became.not_reached,
    }
