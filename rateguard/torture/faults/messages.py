"""Celery messages that are lost, or come twice: a consumer of our own takes them out of the lanes' queues before the workers do."""

from __future__ import annotations

import contextlib
import dataclasses
import threading

import redis

from rateguard.engine.lanes import Lane, queue_name
from rateguard.torture.site import Site

QUEUES = [queue_name(lane) for lane in Lane]
_WAIT_S = 1
_PAUSE_S = 0.05


@dataclasses.dataclass(slots=True)
class Steal:
    """Waits at the queues beside the workers; of what it gets, each message is dropped, or put back twice."""

    is_doubled: bool
    taken: int = 0
    _seen: set[bytes | str] = dataclasses.field(default_factory=set)
    _over: threading.Event = dataclasses.field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self, site: Site) -> str:
        """Wait with the workers for messages."""
        self._thread = threading.Thread(target=self._run, args=(site,), name="message-thief", daemon=True)
        self._thread.start()
        return ""

    def end(self, _: Site) -> str:
        """Leave the rest to the workers."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        return f"{self.taken} messages"

    def _run(self, site: Site) -> None:
        with site.valkey.client() as client:
            while not self._over.is_set():
                with contextlib.suppress(redis.RedisError):
                    self._take(client)
                self._over.wait(_PAUSE_S if self.is_doubled else 0)  # else it would take its own copies, again and again

    def _take(self, client: redis.Redis) -> None:
        found = client.brpop(QUEUES, timeout=_WAIT_S)
        if found is None:
            return
        queue, message = found
        if message in self._seen:
            client.rpush(queue, message)  # a copy of its own, which no worker was there to take
            return
        self._seen.add(message)
        self.taken += 1
        if self.is_doubled:
            client.rpush(queue, message, message)
