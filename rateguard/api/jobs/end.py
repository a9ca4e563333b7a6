"""The answer of a job at its end: what `Prefer: wait=N` and `?wait=N` ask for."""

from __future__ import annotations

import uuid

import orjson
from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.layers.waiting import Answer, Held, hand_over
from rateguard.jobs.ends.follow import ended
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL

APPLIED = "Preference-Applied"


def at_end(request: Request, response: Response, job: Job, seconds: int) -> Response:
    """The answer given, or where somebody can wait that of the job's end, after at most so many seconds.

    Where nobody can (WSGI, Django's test client, MAX_WAITERS wait already) it goes out at once, and without Preference-Applied.
    """
    if seconds and job.state not in TERMINAL:
        hand_over(request, _Ending(job.pk, reverse("rateguard:job", args=[job.pk]), seconds, is_preferred=request.method == "POST"))
    elif seconds and request.method == "POST":
        others = response.headers.get(APPLIED)
        response.headers[APPLIED] = f"{others}, wait={seconds}" if others else f"wait={seconds}"
    return response


class _Ending:
    """Waits for the end, then answers with the row as it is."""

    def __init__(self, job_id: uuid.UUID, path: str, seconds: int, *, is_preferred: bool) -> None:
        self._job_id = job_id
        self._path = path
        self._seconds = seconds
        self._is_preferred = is_preferred

    async def __call__(self, held: Held) -> None:
        await ended(self._job_id, self._seconds)
        now = await held.ask(self._path)
        await held.answer(self._submitted(held.first, now) if self._is_preferred else now)

    def _submitted(self, first: Answer, now: Answer) -> Answer:
        """The answer to a submission: 200 where the job ended, else 202. A row that cannot be read now was accepted all the same."""
        if now.status != 200:
            return first
        has_ended = orjson.loads(now.body)["status"] in TERMINAL
        told = {name.lower() for name, _ in now.headers}
        kept = [(name, value) for name, value in first.headers if name.lower() not in told]
        applied = (APPLIED.encode(), f"wait={self._seconds}".encode())
        return Answer(200 if has_ended else 202, [*now.headers, *kept, applied], now.body)
