"""How long a streamed answer may be silent: until its first chunk with content, and between two chunks after it.

Bytes that hold no chunk, such as the comments by which a gateway keeps a connection busy, end no silence.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from rateguard.engine.errors import ErrorKind, ProviderError


class Patience:
    """One stream's. The wait begins when its request leaves; made on the event loop that reads it.

    A chunk only notes when it came: the timer, once it is due, looks how long ago that was.
    """

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._loop = asyncio.get_running_loop()
        self._has_begun = False
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.timeout = asyncio.timeout(None)

    def begin(self) -> None:
        """The request leaves now."""
        self._heard_at = self._loop.time()
        self.end()
        self._timer = self._loop.call_at(self._heard_at + self._silence_s, self._look)

    def hear(self, *, has_content: bool) -> None:
        """A chunk has come. Before the first one with content it changes nothing."""
        if has_content:
            self._has_begun = True
        if self._has_begun:
            self._heard_at = self._loop.time()

    def end(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def as_error(self) -> ProviderError:
        """What it means that it is over."""
        what = "the answer went silent for" if self._has_begun else "sent, but no token within"
        return ProviderError(f"{what} {self._silence_s:g} s", kind=ErrorKind.TIMEOUT, may_be_billed=True)

    def _look(self) -> None:
        due_at = self._heard_at + self._silence_s
        if self._loop.time() < due_at:
            self._timer = self._loop.call_at(due_at, self._look)
        else:
            self.timeout.reschedule(due_at)  # in the past: now


@contextlib.asynccontextmanager
async def patient(silence_s: float) -> AsyncIterator[Patience]:
    """Read a stream in here. Raises ProviderError (TIMEOUT) once it has been silent for so many seconds."""
    patience = Patience(silence_s)
    try:
        async with patience.timeout:
            yield patience
    except TimeoutError:
        if not patience.timeout.expired():
            raise
        raise patience.as_error() from None
    finally:
        patience.end()
