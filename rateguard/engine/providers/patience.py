"""How long a streamed answer may be silent: until its first chunk with content, and between two chunks after it.

Bytes that hold no chunk, such as the comments by which a gateway keeps a connection busy, end no silence.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from rateguard.engine.errors import ErrorKind, ProviderError


class Patience:
    """One stream's. The wait begins when its request leaves; made on the event loop that reads it."""

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._loop = asyncio.get_running_loop()
        self._has_begun = False
        self.timeout = asyncio.timeout(None)

    def begin(self) -> None:
        """The request leaves now."""
        self._wait_anew()

    def hear(self, *, has_content: bool) -> None:
        """A chunk has come. Before the first one with content it changes nothing."""
        self._has_begun = self._has_begun or has_content
        if self._has_begun:
            self._wait_anew()

    def as_error(self) -> ProviderError:
        """What it means that it is over."""
        what = "the answer went silent for" if self._has_begun else "sent, but no token within"
        return ProviderError(f"{what} {self._silence_s:g} s", kind=ErrorKind.TIMEOUT, may_be_billed=True)

    def _wait_anew(self) -> None:
        if not self.timeout.expired():
            self.timeout.reschedule(self._loop.time() + self._silence_s)


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
