"""Who waits for a job's end is woken by publish/subscribe; the row tells the rest."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable

import redis

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.keys import finished_channel
from rateguard.jobs.ids import packed

logger = logging.getLogger(__name__)


def announce(ids: Iterable[uuid.UUID]) -> None:
    """These jobs ended. A lost announcement costs a waiter its next look at the row, nothing else."""
    told = list(ids)
    if not told:
        return
    try:
        wiring.redis_client().publish(finished_channel(conf().partition), packed(told))
    except redis.RedisError as error:
        logger.info("ends of %d jobs not announced: %s", len(told), error)
