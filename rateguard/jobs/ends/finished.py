"""Who waits for a job's end is woken by publish/subscribe; the row tells the rest."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable

import redis

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.keys import finished_channel

logger = logging.getLogger(__name__)


def announce(ids: Iterable[uuid.UUID]) -> None:
    """These jobs ended. A lost announcement costs a waiter its next look at the row, nothing else."""
    packed = b"".join(job.bytes for job in ids)
    if not packed:
        return
    try:
        wiring.redis_client().publish(finished_channel(conf().partition), packed)
    except redis.RedisError as error:
        logger.info("ends of %d jobs not announced: %s", len(packed) // 16, error)
