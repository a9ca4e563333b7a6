"""A stream on its way to the caller: it goes on as it came, and is read beside by the provider's adapter. It does no I/O.

The caller who asked for no usage does not see the chunk that tells it: code that takes `chunk.choices[0]` of each chunk would stumble.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from rateguard.engine.errors import ProviderError
from rateguard.engine.providers.base import Chunk
from rateguard.engine.providers.malformed import malformed_answer
from rateguard.transport.attempt import Attempt, Headers
from rateguard.transport.left_behind import end_later, watch


class Tee:
    """The stream of one attempt. Whoever has it ends it: `finish`, `broke` or `leave`."""

    _is_over = True
    """As long as it is not made: where that fails, its attempt is ended by whoever makes it."""

    def __init__(self, attempt: Attempt, headers: Headers, answered_at: float) -> None:
        self._attempt = attempt
        self._headers = headers
        self._answered_at = answered_at
        self._reader = attempt.provider.reader(attempt.place.target, attempt.request, headers)
        self._hider = UsageHider() if attempt.prepared.dialect.hides_usage(attempt.prepared.asked) else None
        self._error: ProviderError | None = None
        self._is_over = False
        watch()

    def feed(self, piece: bytes) -> bytes:
        """What the caller gets of a piece; perhaps nothing yet."""
        self._read(piece)
        return piece if self._hider is None else self._hider.feed(piece)

    def finish(self) -> bytes:
        """The body is over: what the caller gets at last. The attempt has ended."""
        if not self._is_over and self._error is None:
            self._drain(self._reader.finish())
        self._settle()
        return b"" if self._hider is None else self._hider.finish()

    def broke(self, error: ProviderError) -> None:
        """The connection died within the answer: behind its end that changes nothing."""
        if not self._reader.is_complete and self._error is None:
            self._error = error
        self._settle()

    def leave(self) -> None:
        """The caller reads no more: what came is charged, as an answer where it was whole."""
        if self._is_over:
            return
        if self._reader.is_complete or self._error is not None:
            self._settle()
            return
        self._is_over = True
        self._attempt.stop(self._attempt.usage_of(self._reader.answer(), is_partial=True))

    def whole_body(self) -> bytes:
        """The answer put together, in OpenAI's shape."""
        return self._reader.answer().body

    @property
    def failure(self) -> ProviderError | None:
        """Why it ended without an answer."""
        return self._error

    def __del__(self) -> None:
        """Nobody closed it: a reservation is not held for ever."""
        if not self._is_over:
            end_later(self.leave)

    def _read(self, piece: bytes) -> None:
        if self._error is None:
            self._drain(self._reader.feed(piece))

    def _drain(self, chunks: Iterable[Chunk]) -> None:
        """Reading is what the chunks are made by; the caller has the bytes already."""
        try:
            for _ in chunks:
                pass
        except ProviderError as error:
            if not self._reader.is_complete:  # an end: whoever reads it raises, and need not close anything
                self._error = error
                self._settle()

    def _settle(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._error is None and not self._reader.is_complete:
            self._error = malformed_answer("the stream was cut: it ended without saying that it was finished")
        if self._error is None:
            self._attempt.answer(self._reader.answer(), self._headers, self._answered_at)
            return
        if self._error.may_be_billed:
            self._error.usage = self._attempt.usage_of(self._reader.answer(), is_partial=True)
        self._error.readings = self._attempt.provider.readings(self._attempt.place.target, self._headers)
        self._attempt.fail(self._error)


_BLANK_LINES = (b"\n\n", b"\r\n\r\n")


class UsageHider:
    """Takes the usage chunk of a chat's stream out of its bytes; every other event stays as it came."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> bytes:
        """The events that are whole."""
        data = self._rest + piece if self._rest else piece
        end = max(at + len(mark) if (at := data.rfind(mark)) >= 0 else 0 for mark in _BLANK_LINES)
        whole, self._rest = data[:end], data[end:]
        return self._without(whole) if b'"usage"' in whole else whole

    def finish(self) -> bytes:
        """What came without a blank line behind it."""
        rest, self._rest = self._rest, b""
        return b"" if _tells_usage(rest) else rest

    def _without(self, whole: bytes) -> bytes:
        plain, with_returns = _BLANK_LINES
        mark = with_returns if with_returns in whole else plain
        return b"".join(event + mark for event in whole.split(mark)[:-1] if not _tells_usage(event))


def _tells_usage(event: bytes) -> bool:
    """Whether an event is a chunk with the usage and no choices."""
    at = event.find(b"data:")
    if at < 0 or b'"usage"' not in event or b'"usage":null' in event or b'"usage": null' in event:  # as all others of the stream say
        return False
    try:
        chunk = orjson.loads(event[at + 5 :].strip())
    except orjson.JSONDecodeError:
        return False
    return isinstance(chunk, dict) and bool(chunk.get("usage")) and not chunk.get("choices")
