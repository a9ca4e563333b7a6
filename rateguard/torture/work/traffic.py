"""The traffic of a campaign: callers of every kind, on an event loop in a thread of their own, until the campaign says stop."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import random
import threading
import time
import typing
import uuid
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

import orjson

from rateguard.torture.record import Accepted, Record
from rateguard.torture.work.asking import Answer, Asker
from rateguard.torture.work.hosting import Host
from rateguard.torture.work.probing import probe
from rateguard.torture.work.reading import read_to_end
from rateguard.torture.work.wishes import Kind, Wish, Wishes

if typing.TYPE_CHECKING:
    from rateguard.torture.site import Site

logger = logging.getLogger(__name__)

TRICKLE = 0.25
"""What the pace falls to once enough jobs were accepted: faults that come late find work too."""
SPEED_UP = 4.0
"""How much faster the rest comes where the campaign says stop before there were enough."""
AT_ONCE = 400
"""Requests under way: a client that waits for answers sends no more."""
CLOSE_S = 20.0
BATCH_LINES = (4, 12)
RUN_BUDGET_USD = "0.0005"


class Traffic:
    """Submits `jobs` jobs in about `over_s` seconds and goes on slowly until stopped. Everything accepted goes to `record.accepted`."""

    def __init__(self, site: Site, record: Record, seed: int, jobs: int, over_s: float = 75.0) -> None:
        self._site, self._record, self._jobs = site, record, jobs
        self._pace = jobs / over_s
        self._wishes = Wishes(site.world, seed)
        self._asker = Asker(site.base_urls, record)
        self._chance = random.Random(f"{seed} pace")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="torture-traffic", daemon=True)
        self._host = Host(site, record, seed, share=0.15 * self._pace)
        self._is_stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._main: Future[None] | None = None
        self._run: str | None = None
        self.outcomes: collections.Counter[str] = collections.Counter()
        """How many requests for a job ended how: `accepted`, `refused 429`, …, `unanswered`."""

    # ---- what the campaign calls

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self._host.start()
        self._main = self._submit(self._send_all())

    def stop_submitting(self) -> None:
        """Send what is still missing quickly, and no more."""
        self._is_stopping = True
        self._host.stop_submitting()

    def wait_done(self, timeout_s: float) -> bool:
        """Until every request was answered and every job in the database has ended; False where time ran out."""
        deadline = time.monotonic() + timeout_s
        if not self._host.wait_done(deadline):
            self._record.notes.append("the host process of .delay() did not end in time")
            return False
        with contextlib.suppress(TimeoutError):
            if self._main is not None:
                self._main.result(max(0.1, deadline - time.monotonic()))
        while _is_under_way():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)
        return self._main is None or self._main.done()

    def close(self) -> None:
        """Ask nothing more, and end the threads and the host process."""
        self._is_stopping = True
        self._asker.is_closing = True
        self._host.close()
        self._site.world.receiver.close()
        if self._thread.is_alive():
            with contextlib.suppress(TimeoutError):
                self._submit(self._end_all()).result(CLOSE_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_S)
        self._record.notes.append("asked for jobs: " + ", ".join(f"{count} {how}" for how, count in sorted(self.outcomes.items())))

    # ---- on the loop

    def _submit(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _end_all(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._asker.close()

    async def _send_all(self) -> None:
        await self._asker.open()
        self._spawn(probe(self._asker, self._record, self._wishes, self._take, lambda: self._is_stopping))
        while not (self._is_stopping and self._has_enough):
            await asyncio.sleep(self._chance.expovariate(self._rate))
            if len(self._tasks) < AT_ONCE:
                self._spawn(self._one(self._wishes.draw()))
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    @property
    def _has_enough(self) -> bool:
        return len(self._record.accepted) + len(self._tasks) >= self._jobs

    @property
    def _rate(self) -> float:
        if self._has_enough:
            return max(1.0, TRICKLE * self._pace)
        return self._pace * (SPEED_UP if self._is_stopping else 1.0)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a caller of the campaign broke", exc_info=error)
            self._record.notes.append(f"a caller of the campaign broke: {error!r}")

    async def _one(self, wish: Wish) -> None:
        """One job from its request to what its caller does with it."""
        if wish.kind == Kind.BATCH:
            await self._batch(wish)
            return
        if wish.kind == Kind.RUN and wish.caller.budget == "none":
            await self._name_run(wish)
        is_waiting = "Prefer" in wish.headers
        answer = await self._asker.until_answered(
            "POST",
            "/api/v1/jobs",
            secret=wish.caller.secret,
            door="jobs-wait" if is_waiting else "jobs",
            web=wish.web,
            body=wish.body,
            headers=wish.headers,
        )
        job = self._take(wish, answer)
        if job is not None and wish.kind in {Kind.CANCEL, Kind.RETRY}:
            await self._disturb(wish, job)
        if job is not None and wish.kind == Kind.STREAM:
            self._site.world.read.append(await read_to_end(self._asker, wish.caller.secret, job, self._chance))

    def _take(self, wish: Wish, answer: Answer) -> uuid.UUID | None:
        """Note what the answer promised."""
        if answer.status not in {200, 202}:
            self.outcomes[f"refused {answer.status}" if answer.status else "unanswered"] += 1
            return None
        self.outcomes["accepted"] += 1
        job = uuid.UUID(answer.body["id"])
        self._record.accepted.append(Accepted(job, time.monotonic(), "rest", wish.delivery, has_webhook=wish.kind == Kind.HOOK))
        return job

    async def _batch(self, wish: Wish) -> None:
        """Some lines at once; their jobs are known by its results, which name them from the beginning."""
        lines = [self._wishes.draw(Kind.PLAIN, wish.caller.tenant) for _ in range(self._chance.randint(*BATCH_LINES))]
        body = {"jobs": [{**line.body, "custom_id": f"line-{number}"} for number, line in enumerate(lines)]}
        asked: dict[str, Any] = {"secret": wish.caller.secret, "web": wish.web}
        answer = await self._asker.until_answered("POST", "/api/v1/batches", door="batches", body=body, headers=wish.headers, **asked)
        if answer.status not in {200, 201}:
            self.outcomes[f"batch refused {answer.status}" if answer.status else "unanswered"] += 1
            return
        at = time.monotonic()
        address = f"/api/v1/batches/{answer.body['id']}/results"
        told = await self._asker.until_answered("GET", address, door="results", **asked)
        results = [orjson.loads(line) for line in (told.body or b"").splitlines()] if told.status == 200 else []
        self.outcomes["batch line accepted"] += len(results)
        self._record.accepted += [
            Accepted(uuid.UUID(one["id"]), at, "batch", "at_least_once", has_webhook=False, line=one["custom_id"]) for one in results
        ]
        if len(results) != len(lines) and not self._asker.is_closing:
            self._record.notes.append(f"batch {answer.body['id']} took {len(lines)} lines and has {len(results)} results ({told.status})")

    async def _disturb(self, wish: Wish, job: uuid.UUID) -> None:
        """Cancel it a moment later; who changes his mind lets it run again."""
        await asyncio.sleep(wish.then_s)
        asked: dict[str, Any] = {"secret": wish.caller.secret, "web": wish.web}
        await self._asker.until_answered("POST", f"/api/v1/jobs/{job}/cancel", door="cancel", **asked)
        if wish.kind == Kind.RETRY:
            await asyncio.sleep(1.0)
            await self._asker.until_answered("POST", f"/api/v1/jobs/{job}/retry", door="retry", **asked)

    async def _name_run(self, wish: Wish) -> None:
        """Put the job into a run with a small budget; every now and then a new one begins."""
        if self._run is None or self._chance.random() < 0.2:
            body = {"name": "torture", "budget_usd": RUN_BUDGET_USD, "max_calls": 12}
            answer = await self._asker.until_answered(
                "POST", "/api/v1/runs", secret=wish.caller.secret, door="runs", web=wish.web, body=body
            )
            if answer.status != 201:
                return
            self._run = answer.body["id"]
        wish.job["run"] = self._run


def _is_under_way() -> bool:
    """Whether a job is still on its way, an end is still to be told or a message to be sent; by the rows."""
    from django.db import Error, connection  # noqa: PLC0415 - Django is ready by now

    from rateguard.jobs.models import Job, MessageState, OutboxRow, WebhookMessage  # noqa: PLC0415
    from rateguard.jobs.states import TERMINAL  # noqa: PLC0415

    try:
        return (
            Job.objects.exclude(state__in=TERMINAL).exists()
            or OutboxRow.objects.exists()
            or WebhookMessage.objects.filter(state=MessageState.PENDING).exists()
        )
    except Error:  # a connection from before PostgreSQL was struck
        connection.close()
        return True
