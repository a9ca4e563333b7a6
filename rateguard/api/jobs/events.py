"""A job's events as a stream: what is known at once, and where somebody can wait, what comes, until its end.

Who reads holds neither a thread nor a connection of the database. Where nobody can wait (WSGI, Django's test client, MAX_WAITERS wait
already) the answer is what is known now; a reader that names the last id it saw gets what comes after it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable

from django.http import HttpResponse
from django.urls import reverse
from rest_framework.request import Request

from rateguard.api.layers.waiting import Held, hand_over
from rateguard.api.still_in_force import watched
from rateguard.jobs.ends.event_watch import Watch, hub
from rateguard.jobs.ends.events.ids import EventId
from rateguard.jobs.ends.events.known import known
from rateguard.jobs.ends.events.reading import Event, Reading, as_text
from rateguard.jobs.ends.follow import rest
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL, WAITING

CONTENT_TYPE = "text/event-stream; charset=utf-8"
LAST_EVENT_ID = "Last-Event-ID"
RETRY_MS = 1_000
BEAT_S = 15.0
"""A stream never says nothing for longer: what stands between would take it for dead."""
BEAT = ": still here\n\n"
SLOW_S = 30.0
"""Who takes nothing for so long is cut; the last id that it saw leads back."""
LONGEST_S = 3_600.0
"""After that the reader comes back, perhaps to another process."""
OVER = "X-Events-Over"
"""On the answer whose events end with the job's end."""


def read_told(request: Request) -> EventId:
    """The last id that the reader saw: of `?after=`, or else of the header. Raises InvalidRequest."""
    return EventId.parse(request.query_params.get("after") or request.headers.get(LAST_EVENT_ID, ""))


def events_answer(request: Request, job: Job) -> HttpResponse:
    """The stream of this job's events. 204 for a reader that has seen its end: a browser comes back no more."""
    reading = Reading(read_told(request))
    told = _text(known(reading, job))
    is_over = job.state in TERMINAL
    if is_over and not told:
        return HttpResponse(status=204, headers={OVER: "true"})
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", **({OVER: "true"} if is_over else {})}
    response = HttpResponse(f"retry: {RETRY_MS}\n\n{told}", content_type=CONTENT_TYPE, headers=headers)
    if not is_over and request.method != "HEAD":
        hand_over(request, _Following(job.pk, reading, request.auth.key.pk))
    return response


def _text(events: Iterable[Event]) -> str:
    return "".join(map(as_text, events))


class _Following:
    """Tells what comes, until the job's end, until the reader leaves, is too slow or may not see it any more, or the process ends."""

    def __init__(self, job_id: uuid.UUID, reading: Reading, key_id: int) -> None:
        self._job_id = job_id
        self._key_id = key_id
        self._reading = reading
        self._read_to = reading.told

    async def __call__(self, held: Held) -> None:
        headers = [(name, value) for name, value in held.first.headers if name.lower() != b"content-length"]
        await held.send({"type": "http.response.start", "status": 200, "headers": headers})
        woken = asyncio.Event()
        loop = asyncio.get_running_loop()
        leaving = asyncio.ensure_future(rest(LONGEST_S))
        leaving.add_done_callback(lambda _: woken.set())
        try:
            await _send(held, held.first.body.decode())
            watching = hub().watching(self._job_id, lambda: loop.call_soon_threadsafe(woken.set))
            with watching as watch, watched(self._key_id, leaving.cancel):
                while not leaving.done() and not await self._tell(held, watch, woken):
                    pass
        except TimeoutError:
            return  # too slow: the connection is closed
        finally:
            leaving.cancel()
        await held.send({"type": "http.response.body", "body": b""})

    async def _tell(self, held: Held, watch: Watch, woken: asyncio.Event) -> bool:
        """Wait for news and tell them. Whether nothing more comes."""
        try:
            async with asyncio.timeout(BEAT_S):
                await woken.wait()
        except TimeoutError:
            await _send(held, BEAT)
            return False
        woken.clear()
        has_grown, standing = watch.take()
        if has_grown:
            await self._tell_stream(held)
        if standing is None:
            return False
        if standing.state in TERMINAL:
            return await self._tell_end(held)
        if standing.state in WAITING:
            await _send(held, _text(self._reading.waits(standing.state, standing.position, standing.run_at)))
        else:
            await _send(held, _text(self._reading.runs(standing.attempt)))
        return False

    async def _tell_stream(self, held: Held) -> None:
        self._read_to = max(self._read_to, self._reading.told)
        while entries := await hub().read(self._job_id, self._read_to):
            self._read_to = entries[-1].id
            await _send(held, _text(self._reading.take(entries)))

    async def _tell_end(self, held: Held) -> bool:
        """As this very caller sees it, who may see it no more; a reader who is not told the end asks again."""
        path = reverse("rateguard:job-events", args=[self._job_id])
        answer = await held.ask(f"{path}?after={self._reading.told}")
        if answer.status == 200 and answer.header(OVER):
            await _send(held, answer.body.decode())
        return answer.status != 200 or bool(answer.header(OVER))


async def _send(held: Held, text: str) -> None:
    """Raises TimeoutError where the reader takes it too slowly."""
    if text:
        async with asyncio.timeout(SLOW_S):
            await held.send({"type": "http.response.body", "body": text.encode(), "more_body": True})
