"""A thread that hears a server's publish/subscribe channels, through every break of the line."""

from __future__ import annotations

import abc
import logging
import threading
from typing import Any

import redis

logger = logging.getLogger(__name__)

PAUSE_S = 1.0
"""Between two looks at whether to go on, and after a line that broke."""


class ChannelListener(abc.ABC):
    """channels: what it hears. thread: its name. subject: what is not heard while the line is broken, in words.

    `is_ready` is set while it listens. What it misses its owner must find by another way.
    """

    def __init__(self, client: redis.Redis, *channels: str, thread: str, subject: str) -> None:
        self._client = client
        self._channels = channels
        self._thread_name = thread
        self._subject = subject
        self._stopping = threading.Event()
        self.is_ready = threading.Event()

    @abc.abstractmethod
    def _hear(self, channel: str, told: bytes) -> None:
        """Something was said."""

    def start(self) -> None:
        """Begin to listen."""
        threading.Thread(target=self._run, name=self._thread_name, daemon=True).start()

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
                    logger.info("not listening for %s: %s", self._subject, error)
                self._stopping.wait(PAUSE_S)

    def _listen(self) -> None:
        subscriptions: Any = self._client
        with subscriptions.pubsub() as subscription:
            subscription.subscribe(*self._channels)
            while not self._stopping.is_set():
                message = subscription.get_message(timeout=PAUSE_S)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self.is_ready.set()
                elif isinstance(message.get("data"), bytes):
                    self._hear(message["channel"].decode(), message["data"])
