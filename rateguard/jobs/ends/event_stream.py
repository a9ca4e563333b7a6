"""The stream of a job's events in Redis: a Stream a job whose ids are `<attempt>-<number>`, so that a dead attempt writes nothing more.

It is there for those who listen and for answers that no row keeps. Full, gone or flushed, it loses nothing else: a reader gets the rest
from the row (see `events.reading`). What stands in it is sealed as bodies at rest are.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import Any

import redis

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.errors import SecretUnreadable
from rateguard.engine.keys import events_key
from rateguard.jobs.bodies import opened
from rateguard.jobs.ends.events.ids import EventId
from rateguard.jobs.ends.events.reading import Entry, Kind

logger = logging.getLogger(__name__)

PAGE = 500
"""Entries of one job that are read at once."""


def key_of(job_id: uuid.UUID) -> str:
    """Where a job's stream is."""
    return events_key(conf().partition, str(job_id))


def read(asked: Sequence[tuple[uuid.UUID, EventId]]) -> list[list[Entry]]:
    """What stands behind these ids, at most PAGE entries each, in one round trip; nothing while Redis does not answer."""
    pipeline: Any = wiring.redis_client().pipeline(transaction=False)
    for job_id, last in asked:
        pipeline.xrange(key_of(job_id), min=f"({last.attempt}-{last.number}", max="+", count=PAGE)
    try:
        pages = pipeline.execute(raise_on_error=False)
    except (redis.RedisError, OSError) as error:
        logger.info("the events of %d jobs cannot be read now: %s", len(asked), error)
        return [[] for _ in asked]
    return [_entries(page) for page in pages]


def read_answer(job_id: uuid.UUID, attempt: int | None = None) -> str | None:
    """The whole answer of a job that is not stored, while it is kept; None once it is gone. attempt: only that one's.

    It is written before the job's end is, and stays EVENT_KEEP_S.
    """
    client: Any = wiring.redis_client()
    try:
        entries = _entries(client.xrevrange(key_of(job_id), count=1))
    except (redis.RedisError, OSError) as error:
        logger.info("the answer of job %s cannot be read now: %s", job_id, error)
        return None
    is_there = bool(entries) and entries[0].kind is Kind.WHOLE and attempt in {None, entries[0].id.attempt}
    return entries[0].data or None if is_there else None


def _entries(page: Any) -> list[Entry]:
    """Redis's own words as entries; what no key opens, and what is not ours, ends the page."""
    if isinstance(page, Exception):
        return []
    found = []
    for raw_id, fields in page:
        attempt, _, number = raw_id.decode().partition("-")
        ((kind, data),) = fields.items()
        try:
            found.append(Entry(EventId(int(attempt), int(number)), Kind(kind.decode()), opened(data.decode())))
        except (SecretUnreadable, ValueError) as error:
            logger.warning("an event of a job cannot be read: %s", type(error).__name__)
            break
    return found
