"""Hears by publish/subscribe what other processes' steps of the gate decided for calls of this one. What it misses comes back by itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

import redis

from rateguard.engine.keys import call_channel
from rateguard.jobs.line.calling import Decided, read_letter

logger = logging.getLogger(__name__)

PAUSE_S = 1.0


class CallListener:
    """A thread for the channel of one process. `take`: what is done with a decision. `is_ready` is set while it listens."""

    def __init__(self, client: redis.Redis, partition: str, node: int, take: Callable[[Iterable[Decided]], None]) -> None:
        self._client = client
        self._channel = call_channel(partition, node)
        self._take = take
        self._stopping = threading.Event()
        self.is_ready = threading.Event()

    def start(self) -> None:
        """Begin to listen."""
        threading.Thread(target=self._run, name="rateguard-calls", daemon=True).start()

    def stop(self) -> None:
        """Listen no more; the thread ends within a second."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except (redis.RedisError, OSError) as error:
                self.is_ready.clear()
                if not self._stopping.is_set():
                    logger.info("not listening for grants of calls: %s", error)
                self._stopping.wait(PAUSE_S)

    def _listen(self) -> None:
        subscriptions: Any = self._client
        with subscriptions.pubsub() as subscription:
            subscription.subscribe(self._channel)
            while not self._stopping.is_set():
                message = subscription.get_message(timeout=PAUSE_S)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self.is_ready.set()
                elif isinstance(message.get("data"), bytes):
                    self._hear(message["data"])

    def _hear(self, letter: bytes) -> None:
        try:
            self._take([read_letter(letter)])
        except Exception:
            logger.exception("a decision of another process was not understood; what it granted comes back")
