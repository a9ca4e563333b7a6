"""Callers of one web process over HTTP, on one event loop: as fast as it answers, or at a pace of their own."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import random
import time
from collections.abc import Callable, Iterator, Mapping

from rateguard.bench.scene import quantile

KEPT_S = 2.0
"""uvicorn closes a connection that was idle for 5 s."""

MakeBody = Callable[[int], bytes]


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """What was asked: how many a second were answered, and the milliseconds that each took."""

    per_s: float
    took_ms: list[float]

    def quantile_ms(self, share: float) -> float:
        """The time within which this share was answered."""
        return quantile(self.took_ms, share)


class Callers:
    """Connections to one address that all ask the same, each with another body. wanted: the status of each answer; None: a good one."""

    def __init__(self, port: int, method: str, path: str, headers: Mapping[str, str], body: MakeBody, *, wanted: int | None = None) -> None:
        self._port = port
        self._wanted = wanted
        head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "127.0.0.1", **headers}.items())
        self._head = f"{method} {path} HTTP/1.1\r\n{head}".encode()
        self._body = body
        self._numbers = itertools.count()
        self._idle: list[_Connection] = []

    def flat_out(self, connections: int, seconds: float) -> Load:
        """Each connection asks again as soon as it is answered."""
        return asyncio.run(self._flat_out(connections, seconds))

    def paced(self, per_s: float, seconds: float) -> Load:
        """Arrivals at random, so many a second, whether answers come or not; a time counts from the arrival."""
        return asyncio.run(self._paced(per_s, seconds))

    async def _flat_out(self, connections: int, seconds: float) -> Load:
        began_at = time.perf_counter()
        took: list[float] = []

        async def ask_on() -> None:
            while time.perf_counter() - began_at < seconds:
                took.append(await self._ask(time.perf_counter()))

        await asyncio.gather(*(ask_on() for _ in range(connections)))
        rate = len(took) / (time.perf_counter() - began_at)
        self._close()
        return Load(rate, took)

    async def _paced(self, per_s: float, seconds: float) -> Load:
        began_at = time.perf_counter()
        asked = []
        for due_s in _arrivals(per_s, seconds):
            await asyncio.sleep(max(0.0, began_at + due_s - time.perf_counter()))
            asked.append(asyncio.ensure_future(self._ask(began_at + due_s)))
        took = list(await asyncio.gather(*asked))
        rate = len(took) / (time.perf_counter() - began_at)
        self._close()
        return Load(rate, took)

    async def _ask(self, since: float) -> float:
        """One request; the milliseconds since then. Raises AssertionError where another answer comes."""
        body = self._body(next(self._numbers))
        connection = self._kept() or await _Connection.open(self._port)
        status = await connection.ask(self._head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        if status >= 300 if self._wanted is None else status != self._wanted:
            raise AssertionError(f"a request was answered with {status}")
        self._idle.append(connection)
        return (time.perf_counter() - since) * 1000

    def _kept(self) -> _Connection | None:
        """The connection used last; the others get old, and the server closes them."""
        if self._idle and self._idle[-1].is_fresh():
            return self._idle.pop()
        self._close()
        return None

    def _close(self) -> None:
        while self._idle:
            self._idle.pop().close()


def _arrivals(per_s: float, seconds: float) -> Iterator[float]:
    """Seconds from the start, the same in every run."""
    chance, at = random.Random(1), 0.0
    while (at := at + chance.expovariate(per_s)) < seconds:
        yield at


class _Connection:
    """One connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._used_at = time.monotonic()

    @classmethod
    async def open(cls, port: int) -> _Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> int:
        """Send it whole and read the answer whole; its status."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await self._reader.readexactly(int(length.partition(b":")[2]))
        self._used_at = time.monotonic()
        return int(head.split(b" ", 2)[1])

    def is_fresh(self) -> bool:
        """Whether the server keeps it still."""
        return time.monotonic() - self._used_at < KEPT_S

    def close(self) -> None:
        self._writer.close()
