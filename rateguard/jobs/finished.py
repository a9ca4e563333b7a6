"""Who waits for a job's end is woken by publish/subscribe; the row tells the rest."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable

import redis
from django.conf import settings

from rateguard.conf import conf
from rateguard.engine.gate.redis import connect
from rateguard.engine.keys import finished_channel

logger = logging.getLogger(__name__)


def announce(ids: Iterable[uuid.UUID]) -> None:
    """These jobs ended. A lost announcement costs a waiter its next look at the row, nothing else."""
    packed = b"".join(job.bytes for job in ids)
    if not packed:
        return
    try:
        _client().publish(finished_channel(conf().partition), packed)
    except redis.RedisError as error:
        logger.info("ends of %d jobs not announced: %s", len(packed) // 16, error)


_clients: dict[str, redis.Redis] = {}


def _client() -> redis.Redis:
    """One client a process; its pool is thread-safe."""
    if settings.REDIS_URL not in _clients:
        _clients[settings.REDIS_URL] = connect(settings.REDIS_URL, conf().gate_timeout_ms)
    return _clients[settings.REDIS_URL]
