"""Probes: while Redis or PostgreSQL is struck, small jobs are posted to both web processes, so that there is something to measure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from rateguard.torture.record import Fault, Record
from rateguard.torture.work.asking import Answer, Asker
from rateguard.torture.work.wishes import Kind, Wish, Wishes

LOOK_S = 0.1
EVERY_S = 0.3
STRUCK = {"valkey", "postgres"}
RECOVERS_S = 2.0
"""So long after a server is back they go on: its return is seen too."""


async def probe(
    asker: Asker, record: Record, wishes: Wishes, take: Callable[[Wish, Answer], object], is_stopping: Callable[[], bool]
) -> None:
    """Watch the faults; end where the campaign stops."""
    asked: set[asyncio.Task[None]] = set()
    number = 0
    while not is_stopping():
        if not any(_is_struck(fault) for fault in record.faults):
            await asyncio.sleep(LOOK_S)
            continue
        number += 1
        task = asyncio.ensure_future(_post(asker, wishes.draw(Kind.PLAIN, "acme"), number, take))
        asked.add(task)
        task.add_done_callback(asked.discard)
        await asyncio.sleep(EVERY_S)
    if asked:
        await asyncio.wait(asked)


def _is_struck(fault: Fault) -> bool:
    return fault.target in STRUCK and (fault.ended_at is None or fault.ended_at + RECOVERS_S > time.monotonic())


async def _post(asker: Asker, wish: Wish, web: int, take: Callable[[Wish, Answer], object]) -> None:
    wish.job.pop("deadline", None)
    answer = await asker.until_answered(
        "POST", "/api/v1/jobs", secret=wish.caller.secret, door="jobs", web=web, body=wish.body, headers=wish.headers
    )
    take(wish, answer)
