"""The views of batches. Each reads, calls one function of the inside, renders."""

from __future__ import annotations

import uuid

from django.http import HttpResponseBase
from django.urls import reverse
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.authentication import Caller
from rateguard.api.batches.reading import read_batch
from rateguard.api.batches.rendering import render_batch, render_error
from rateguard.api.batches.shapes import (
    BATCHES,
    CREATED_HEADERS,
    ERROR_PAGE,
    ERRORS,
    EXAMPLES,
    LIST_PAGE,
    MOST,
    MOST_ERRORS,
    USUAL,
    USUAL_ERRORS,
    BatchShape,
    CancelledBatchShape,
    NewBatchShape,
)
from rateguard.api.batches.streaming import streamed
from rateguard.api.door import ApiView, caller_of
from rateguard.api.jobs.shapes import IDEMPOTENCY_KEY
from rateguard.api.middleware import request_id_of
from rateguard.api.params import Query
from rateguard.api.schema.describing import extend_schema, problems
from rateguard.jobs.batches.cancelling import cancel_batch
from rateguard.jobs.batches.closing import close_if_done
from rateguard.jobs.batches.listing import list_batches
from rateguard.jobs.batches.progress import counts_of, progress_of
from rateguard.jobs.batches.results import pages_of
from rateguard.jobs.batches.taking import take_batch
from rateguard.jobs.insight.keyset import LONGEST_CURSOR, read_cursor
from rateguard.jobs.models import Batch, BatchState


class Batches(ApiView):
    """GET: the tenant's batches. POST: submit one."""

    @extend_schema(
        operation_id="list_batches", summary="Batches, newest first", tags=["batches"], parameters=LIST_PAGE, responses={200: BATCHES}
    )
    def get(self, request: Request) -> Response:
        """A page of them; `next_cursor` leads to older ones, until it is null."""
        query = Query(request, ("status", "cursor", "limit"))
        cursor = read_cursor(query.text("cursor", most=LONGEST_CURSOR))
        status, limit = query.choice("status", BatchState.values), query.whole("limit", USUAL, 1, MOST)
        page = list_batches(Batch.objects.filter(tenant=caller_of(request).tenant), cursor, limit, status)
        counts = counts_of([batch.pk for batch in page.batches])
        shown = [render_batch(batch, counts[batch.pk]) for batch in page.batches]
        return Response({"object": "list", "data": shown, "next_cursor": page.older.written() if page.older else None})

    @extend_schema(
        operation_id="submit_batch",
        summary="Submit many jobs at once",
        tags=["batches"],
        parameters=[IDEMPOTENCY_KEY, *CREATED_HEADERS],
        request=NewBatchShape,
        examples=EXAMPLES,
        responses={200: BatchShape, 201: BatchShape, **problems(402, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """201 with the batch; 200 where this Idempotency-Key made it before. All its jobs came in, or none; 422 names lines at fault."""
        with read_batch(request, caller_of(request), request_id_of(request)) as (asked, content, reader):
            taken = take_batch(asked, content, reader)
        headers = {"Location": reverse("rateguard:batch", args=[taken.batch.pk])}
        if not taken.is_new:
            headers["Idempotent-Replayed"] = "true"
        progress = progress_of(taken.batch)
        return Response(render_batch(taken.batch, progress.counts, progress), status=201 if taken.is_new else 200, headers=headers)


class OneBatch(ApiView):
    """GET: a batch and its progress."""

    @extend_schema(operation_id="get_batch", summary="A batch and its progress", tags=["batches"], responses={200: BatchShape})
    def get(self, request: Request, batch_id: uuid.UUID) -> Response:
        """How many of its jobs stand where, what they cost, when the rest has ended."""
        Query(request, ())
        batch = _batch(caller_of(request), batch_id)
        progress = progress_of(batch)
        return Response(render_batch(batch, progress.counts, progress))


class BatchResults(ApiView):
    """GET: what a batch answered."""

    @extend_schema(
        operation_id="get_batch_results",
        summary="What a batch answered, as JSON Lines",
        tags=["batches"],
        responses={(200, "application/jsonl"): {"type": "string"}},
    )
    def get(self, request: Request, batch_id: uuid.UUID) -> HttpResponseBase:
        """A line for each line of the batch, in their order, also while it runs: `status` says how each stands."""
        Query(request, ())
        batch = _batch(caller_of(request), batch_id)
        return streamed(request, pages_of(batch), f"{batch.pk}-results.jsonl")


class BatchErrors(ApiView):
    """GET: the lines that became no jobs."""

    @extend_schema(
        operation_id="get_batch_errors",
        summary="Lines of a batch that became no jobs",
        tags=["batches"],
        parameters=ERROR_PAGE,
        responses={200: ERRORS},
    )
    def get(self, request: Request, batch_id: uuid.UUID) -> Response:
        """In the order of their numbers; `next_line` leads on, until it is null."""
        query = Query(request, ("after", "limit"))
        after, limit = query.whole("after", 0, 0, 2**31 - 1), query.whole("limit", USUAL_ERRORS, 1, MOST_ERRORS)
        found = list(_batch(caller_of(request), batch_id).errors.filter(line__gt=after).order_by("line")[: limit + 1])
        shown = [render_error(error) for error in found[:limit]]
        return Response({"object": "list", "data": shown, "next_line": shown[-1]["line"] if len(found) > limit else None})


class CancelBatch(ApiView):
    """POST: cancel the rest of a batch."""

    @extend_schema(
        operation_id="cancel_batch",
        summary="Cancel the rest of a batch",
        tags=["batches"],
        request=None,
        responses={200: CancelledBatchShape, 202: CancelledBatchShape},
    )
    def post(self, request: Request, batch_id: uuid.UUID) -> Response:
        """200 with a batch that is over; 202 where jobs of it still run, and are asked to end."""
        caller = caller_of(request)
        batch = _batch(caller, batch_id)
        rest = cancel_batch(batch, by=f"key {caller.key.prefix}")
        progress = progress_of(batch)
        shown = {**render_batch(batch, progress.counts, progress), "cancelled": rest.ended, "asked": rest.asked}
        return Response(shown, status=202 if batch.state == BatchState.IN_PROGRESS else 200)


def _batch(caller: Caller, batch_id: uuid.UUID) -> Batch:
    """A batch of the caller's own, as it is now; another's does not exist for it. Raises NotFound."""
    batch = Batch.objects.filter(tenant=caller.tenant, pk=batch_id).first()
    if batch is None:
        raise NotFound
    close_if_done(batch)
    return batch
