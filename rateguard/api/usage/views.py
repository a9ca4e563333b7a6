"""The view of usage: what was used and what it cost, by whom and when."""

from __future__ import annotations

import datetime as dt
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.door import ApiView, caller_of
from rateguard.api.rendering import usd
from rateguard.api.schema.describing import extend_schema
from rateguard.api.usage.reading import cursor_of, read_question
from rateguard.api.usage.shapes import USAGE_PARAMETERS, UsageShape
from tenants.models import ApiKey
from tenants.usage.question import Answer, Line, Percentiles, Place, Question
from tenants.usage.reading import DIMENSIONS, usage


class Usage(ApiView):
    """GET: figures of usage and cost."""

    @extend_schema(
        operation_id="get_usage",
        summary="What was used and what it cost",
        tags=["usage"],
        parameters=USAGE_PARAMETERS,
        responses={200: UsageShape},
    )
    def get(self, request: Request) -> Response:
        """Lines by period and group, in this order, in pages.

        Counted is what begins in `from` ≤ t < `to`; the smallest piece is 15 minutes. A correction counts when it was written. Users and
        labels are counted by days of UTC, each by itself. A tenant's key sees the tenant's own usage; an operator's may name another
        tenant, or tell tenants apart.
        """
        question = read_question(request, caller_of(request))
        return Response(render_usage(question, usage(question)))


def render_usage(question: Question, answer: Answer) -> dict[str, Any]:
    """The answer with what was asked: the defaults are then no riddle."""
    names = _key_names(question, answer)
    return {
        "object": "usage",
        "group_by": question.dimensions,
        "per": question.per,
        "time_zone": question.zone.key,
        "from": _moment(question.span.start.astimezone(question.zone)),
        "to": _moment(question.span.end.astimezone(question.zone)),
        "data": [_line(question, line, names) for line in answer.lines],
        "next_cursor": None if answer.is_last else cursor_of(question.span, Place(answer.lines[-1].period, answer.lines[-1].group)),
    }


def _key_names(question: Question, answer: Answer) -> dict[str | int, str]:
    """What people call the keys of the lines."""
    if "key" not in question.dimensions:
        return {}
    place = question.dimensions.index("key")
    return dict(ApiKey.objects.filter(pk__in={line.group[place] for line in answer.lines}).values_list("pk", "name"))


def _line(question: Question, line: Line, key_names: dict[str | int, str]) -> dict[str, Any]:
    """Of what is not told apart: null."""
    group = dict(zip(question.dimensions, line.group, strict=True))
    if "label" in group:
        group["label"] = str(group["label"]).replace("=", ":", 1)  # as callers write it
    return {
        "starts_at": _moment(line.period.start),
        "ends_at": _moment(line.period.end),
        **{name: group.get(name) for name in DIMENSIONS},
        "key_name": key_names.get(group["key"]) if "key" in group else None,
        "jobs": line.jobs,
        "succeeded": line.succeeded,
        "failed": line.failed,
        "input_tokens": line.input_tokens,
        "cached_tokens": line.cached_tokens,
        "cache_write_tokens": line.cache_write_tokens,
        "output_tokens": line.output_tokens,
        "cost_usd": usd(line.nano_usd),
        "cost_nano_usd": line.nano_usd,
        "latency_ms": _percentiles(line.latency),
        "queue_ms": _percentiles(line.wait),
    }


def _percentiles(found: Percentiles | None) -> dict[str, int | None] | None:
    return None if found is None else {"p50": found.p50, "p90": found.p90, "p95": found.p95, "p99": found.p99}


def _moment(moment: dt.datetime) -> str:
    """In the zone that was asked for, with its offset."""
    return moment.isoformat()
