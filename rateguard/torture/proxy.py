"""The process in the middle: every connection of every process to Valkey and PostgreSQL goes through it, each pair over a wire of its own.

`python -m rateguard.torture.proxy` reads orders from stdin and answers each on stdout, one line of JSON each; it ends with its stdin, so it
outlives nobody. A process of its own, so that what the campaign does slows no connection down. wires.py is its other end.

A wire may be armed: the next chunks that hold one of its marks (the words of a commit) are cut, either `before` they reach the server or
`after` it has answered them, so that the client never learns what became of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
import typing
from typing import Any

from uvloop import new_event_loop

LOCALHOST = "127.0.0.1"
BEFORE, AFTER = "before", "after"


class Wire:
    """Carries what comes to its own port to the server's, and back."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._pairs: set[Pair] = set()
        self._listener: asyncio.Server | None = None
        self._marks: tuple[bytes, ...] = ()
        self._whens: list[str] = []
        self.cuts: list[str] = []

    async def open(self) -> int:
        """Listen; returns the port."""
        self._listener = await asyncio.get_running_loop().create_server(self._make_end, LOCALHOST, 0)
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    def arm(self, marks: list[str], whens: list[str]) -> None:
        """Cut the next chunks that hold a mark, one for each of `whens`."""
        self._marks = tuple(mark.encode() for mark in marks)
        self._whens = list(whens)
        self.cuts = []

    def disarm(self) -> list[str]:
        """Cut no more; returns what was cut since `arm`, as `before` and `after`."""
        self._whens = []
        return self.cuts

    def verdict(self, data: bytes) -> str | None:
        """What is to happen to this chunk of the client's: None, or the cut that it meets."""
        if not self._whens or not any(mark in data for mark in self._marks):
            return None
        return self._whens.pop(0)

    def forget(self, pair: Pair) -> None:
        """The connection is over."""
        self._pairs.discard(pair)

    def _make_end(self) -> asyncio.Protocol:
        pair = Pair(self, self._server_port)
        self._pairs.add(pair)
        return pair.client


class Pair:
    """One connection: the client's end, the server's end, and what is kept while the server's is being opened."""

    def __init__(self, wire: Wire, server_port: int) -> None:
        self.wire = wire
        self.client = _End(self)
        self.server = _End(self)
        self._server_port = server_port
        self._early: list[bytes] = []
        self._drops_answer = False

    async def lead(self) -> None:
        """Open the server's end; a server that is not there ends the client's."""
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.server, LOCALHOST, self._server_port)
        except OSError:
            self.break_off()
            return
        for data in self._early:
            self.server.send(data)
        self._early = []

    def carry(self, end: _End, data: bytes) -> None:
        """A chunk came in at one end."""
        if end is self.server:
            self._carry_back(data)
            return
        when = self.wire.verdict(data)
        if when == BEFORE:
            self.wire.cuts.append(BEFORE)
            self.break_off()
            return
        self._drops_answer |= when == AFTER
        if self.server.is_open:
            self.server.send(data)
        else:
            self._early.append(data)

    def _carry_back(self, data: bytes) -> None:
        if self._drops_answer:
            self.wire.cuts.append(AFTER)
            self.break_off()
        else:
            self.client.send(data)

    def other(self, end: _End) -> _End:
        """The opposite end."""
        return self.server if end is self.client else self.client

    def break_off(self) -> None:
        """End both sides at once."""
        self.client.abort()
        self.server.abort()
        self.wire.forget(self)


class _End(asyncio.Protocol):
    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._transport: asyncio.Transport | None = None
        self._leading: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = typing.cast("asyncio.Transport", transport)  # uvloop's is none by descent
        if self is self._pair.client:
            self._leading = asyncio.get_running_loop().create_task(self._pair.lead())

    def data_received(self, data: bytes) -> None:
        self._pair.carry(self, data)

    def eof_received(self) -> bool:
        self._pair.other(self).close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._pair.other(self).close()
        self._pair.wire.forget(self._pair)

    def pause_writing(self) -> None:
        self._pair.other(self).hold_back()

    def resume_writing(self) -> None:
        self._pair.other(self).go_on()

    def hold_back(self) -> None:
        """The opposite end takes no more for now."""
        if self._transport is not None:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """The opposite end takes more again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Control:
    """Carries out the orders: {"do": "open", "wire", "to"}, {"do": "arm", "wire", "marks", "whens"}, {"do": "disarm", "wire"}."""

    def __init__(self) -> None:
        self._wires: dict[str, Wire] = {}

    async def obey(self, order: dict[str, Any]) -> Any:
        """The order's answer."""
        name = order["wire"]
        if order["do"] == "open":
            self._wires[name] = Wire(order["to"])
            return await self._wires[name].open()
        if order["do"] == "arm":
            return self._wires[name].arm(order["marks"], order["whens"])
        return self._wires[name].disarm()


def main() -> None:
    """Obey until stdin ends."""
    loop, control = new_event_loop(), Control()
    threading.Thread(target=loop.run_forever, name="wires", daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        for line in sys.stdin:
            answer = asyncio.run_coroutine_threadsafe(control.obey(json.loads(line)), loop).result()
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    os._exit(0)  # nobody is left to carry anything for


if __name__ == "__main__":
    main()
