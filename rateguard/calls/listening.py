"""Hears by publish/subscribe what other processes' steps of the gate decided for calls of this one. What it misses comes back by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import redis

from rateguard.engine.keys import call_channel
from rateguard.holding.listening import ChannelListener
from rateguard.jobs.line.calling import Decided, read_letter

logger = logging.getLogger(__name__)


class CallListener(ChannelListener):
    """Of the channel of one process. `take`: what is done with a decision."""

    def __init__(self, client: redis.Redis, partition: str, node: int, take: Callable[[Iterable[Decided]], None]) -> None:
        super().__init__(client, call_channel(partition, node), thread="rateguard-calls", subject="grants of calls")
        self._take = take

    def _hear(self, channel: str, told: bytes) -> None:
        try:
            self._take([read_letter(told)])
        except Exception:
            logger.exception("a decision of another process was not understood; what it granted comes back")
