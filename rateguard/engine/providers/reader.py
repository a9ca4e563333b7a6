"""What the readers of streams have in common, whichever dialect they read."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rateguard.engine.errors import ProviderError
from rateguard.engine.providers.base import Answer, Chunk
from rateguard.engine.providers.malformed import malformed_answer, parse_object
from rateguard.engine.providers.sse import Event, EventLines


class EventReader(abc.ABC):
    """Reads a stream of server-sent events; `_take` says what one of them brings."""

    def __init__(self) -> None:
        self._events = EventLines()

    def feed(self, piece: bytes) -> Iterator[Chunk]:
        """The chunks that these bytes complete. Raises ProviderError."""
        for event in self._events.feed(piece):
            yield from self._take(event)

    def finish(self) -> Iterator[Chunk]:
        """What is left in the last bytes. Raises ProviderError."""
        for event in self._events.finish():
            yield from self._take(event)

    @abc.abstractmethod
    def _take(self, event: Event) -> Iterable[Chunk]: ...


class NoStream:
    """Reads a whole body that came where a stream was asked for: an error, or no answer that we know.

    as_error: what a body with a key `error` means.
    """

    is_complete = False

    def __init__(self, as_error: Callable[[dict[str, Any]], ProviderError]) -> None:
        self._as_error = as_error
        self._body: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[Chunk]:
        """Nothing yet."""
        self._body.append(piece)
        return iter(())

    def finish(self) -> Iterator[Chunk]:
        """Raises ProviderError."""
        answer = parse_object(b"".join(self._body))
        if answer.get("error"):
            raise self._as_error(answer)
        raise malformed_answer("a whole body came where a stream was asked for")

    def answer(self) -> Answer:
        """Nothing came."""
        return Answer(b"", None, "stop")
