"""Where waiting jobs stand: the place among the jobs of their own path, model and lane, as the gate orders them.

Users take turns inside a tenant and tenants inside a lane, so there is no one line; inside a path there is: 1 goes first. Jobs whose marks
differ are in lines of their own, for they wait for other deployments.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from typing import Any

import redis

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.gate.codec import pack_member, tree_name
from rateguard.engine.gate.contract import Waiting
from rateguard.engine.keys import GATE_KEYS, gate_prefix

logger = logging.getLogger(__name__)


def positions(jobs: Iterable[Waiting]) -> dict[uuid.UUID, int]:
    """By job, from 1, in one round trip. Left out is what the gate does not hold in line, or not yet, and while it is away, all."""
    asked = list(jobs)
    prefix = gate_prefix(conf().partition) + GATE_KEYS["jobs"]
    pipeline: Any = wiring.redis_client().pipeline(transaction=False)
    for job in asked:
        pipeline.zrank(f"{prefix}{tree_name(job.model, job.work_class, job.lane)}\n{job.path}", pack_member(job))
    try:
        ranks = pipeline.execute(raise_on_error=False) if asked else []
    except (redis.RedisError, OSError) as error:
        logger.info("the places of %d waiting jobs are not known now: %s", len(asked), error)
        return {}
    return {job.job: rank + 1 for job, rank in zip(asked, ranks, strict=True) if isinstance(rank, int)}
