"""What a batch answered: a line for each of its lines, in their order, read in pages."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from django.db.models import QuerySet
from django.db.models.functions import Coalesce, Length

from rateguard.engine.errors import SecretUnreadable
from rateguard.jobs.bodies import is_sealed
from rateguard.jobs.models import Batch, BatchError, Job
from rateguard.jobs.states import State

PAGE = 250
"""Lines at once."""
MOST_CHARS = 16 * 2**20
"""Of the answers that are in memory together; with more, a page has fewer lines, but one at least."""
_COLUMNS = ("pk", "line", "custom_id", "state", "request_id", "is_stored", "purged_at", "error_code", "error_message")
NOT_KEPT = "body_not_kept"


def pages_of(batch: Batch) -> Iterator[bytes]:
    """JSONL, some lines at a time. Each page is one look: what ends meanwhile is told as it is when its page comes."""
    after = 0
    while True:
        found = list(_jobs_after(batch, after))
        jobs = _with_answers(found)
        errors = list(BatchError.objects.filter(batch=batch.pk, line__gt=after).order_by("line")[:PAGE])
        if not jobs and not errors:
            return
        lines, after = _merged(jobs, errors, has_more_jobs=len(jobs) < len(found) or len(found) == PAGE)
        yield b"".join(lines)


def _jobs_after(batch: Batch, line: int) -> QuerySet[Job]:
    """The next jobs, without their answers but with how long those are."""
    jobs = Job.objects.filter(batch=batch.pk, line__gt=line).order_by("line")
    return jobs.only(*_COLUMNS).annotate(chars=Coalesce(Length("result"), 0))[:PAGE]


def _with_answers(jobs: Sequence[Job]) -> list[Job]:
    """As many of them, from the first, as their answers fit into memory together."""
    in_all = itertools.accumulate(job.chars for job in jobs)  # type: ignore[attr-defined]  # as `_jobs_after` names it
    fitting = list(jobs[: max(1, sum(chars <= MOST_CHARS for chars in in_all))])
    answers = dict(Job.objects.filter(pk__in=[job.pk for job in fitting]).values_list("pk", "result"))
    for job in fitting:
        job.result = answers.get(job.pk)
    return fitting


def _merged(jobs: Sequence[Job], errors: Sequence[BatchError], *, has_more_jobs: bool) -> tuple[list[bytes], int]:
    """The lines up to where both pages are known, and the last one's number."""
    ends = [jobs[-1].line or 0] if has_more_jobs else []
    ends += [errors[-1].line] if len(errors) == PAGE else []
    most = min(ends, default=max(page[-1].line or 0 for page in (jobs, errors) if page))
    shown_jobs = ((job.line or 0, _of_job(job)) for job in jobs if (job.line or 0) <= most)
    shown_errors = ((error.line, _of_error(error)) for error in errors if error.line <= most)
    return [orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE) for _, shown in heapq.merge(shown_jobs, shown_errors, key=_line)], most


def _line(numbered: tuple[int, dict[str, Any]]) -> int:
    return numbered[0]


def _of_job(job: Job) -> dict[str, Any]:
    """As OpenAI's output files have it, with the job's status and line beside it."""
    response = error = None
    if job.state == State.SUCCEEDED and job.result is not None and is_sealed(job.result):
        error = {"code": SecretUnreadable.code, "message": "the answer was encrypted with a key that is not there"}
    elif job.state == State.SUCCEEDED and job.result is not None:
        response = {"status_code": 200, "request_id": job.request_id, "body": orjson.Fragment(job.result)}
    elif job.state == State.SUCCEEDED:
        error = {"code": NOT_KEPT, "message": "the answer is not kept" if not job.is_stored else "the answer was removed"}
    elif job.error_code or job.state == State.CANCELLED:
        error = {"code": job.error_code or "cancelled", "message": job.error_message or "the job was cancelled"}
    return {"id": str(job.pk), "custom_id": job.custom_id or None, "response": response, "error": error, **_beside(job.line, job.state)}


def _of_error(one: BatchError) -> dict[str, Any]:
    error = {"code": one.code, "message": one.message, "pointer": one.pointer}
    return {"id": None, "custom_id": one.custom_id or None, "response": None, "error": error, **_beside(one.line, "rejected")}


def _beside(line: int | None, status: str) -> dict[str, Any]:
    return {"line": line, "status": status}
