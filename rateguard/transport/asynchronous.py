"""The transport of clients on an event loop: httpx's and httpx2's `AsyncClient`. The twin of `blocking`.

The database is asked in a thread, as Django asks it; the gate is waited for on the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async

from rateguard.calls.entrance import entrance
from rateguard.engine.errors import NotSent
from rateguard.screening.chain import chain
from rateguard.transport.attempt import Attempt, ended
from rateguard.transport.doors import dialect_of, is_stream, passed_on, refused, wrong_loop
from rateguard.transport.libraries import as_broken, made_for
from rateguard.transport.prepare import Prepared, Who, prepare
from rateguard.transport.providers import authorized_async
from rateguard.transport.screening import given_to, screens_answers, told_on
from rateguard.transport.tee import Tee
from rateguard.transport.way import Beside, Way


class AsyncGatedTransport:
    """Sends through the client `through`. What is refused is an answer; what breaks is the library's own exception."""

    def __init__(self, who: Who, through: Any, module: Any) -> None:
        self._who = who
        self._through = through
        self._module = module

    async def handle_async_request(self, request: Any) -> Any:
        """One call through the gate; a second one, where its deployment could not be reached and there is another."""
        module, path = self._module, request.url.path
        dialect = dialect_of(path, request.headers)
        try:
            _check_loop()
            asked = dialect.asked(request.method, path, await request.aread())
            prepared: Prepared | None = await sync_to_async(prepare)(dialect, asked, self._who)
            while prepared is not None:
                response, prepared = await _Way(module, self._through, request, self._who).taken(prepared)
        except Exception as error:
            if isinstance(error, module.RequestError):
                raise
            return refused(module, dialect, error)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._through.aclose()


def _check_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise wrong_loop() from None


class _Way(Way):
    """To a provider and back."""

    is_async = True

    async def taken(self, prepared: Prepared) -> tuple[Any, Prepared | None]:
        """The answer; or the call without the deployment that could not be reached, to be made once more."""
        door = entrance()
        attempt = Attempt(prepared, await door.enter(prepared.call_as(door.new_id()), self._who.patience_s), door)
        with ended(attempt):
            wire = await authorized_async(attempt.provider, attempt.place.target, attempt.wire())
            try:
                response = await self._sending(attempt, wire)
            except (self._module.RequestError, NotSent) as error:
                again = self._elsewhere(prepared, attempt, error)
                if again is None:
                    raise
                return None, again
            return await self._answered(attempt, response, time.monotonic()), None

    async def _answered(self, attempt: Attempt, response: Any, answered_at: float) -> Any:
        if not is_stream(attempt, response):
            async with contextlib.aclosing(response):
                return await self._whole(attempt, response, answered_at)
        tee = Tee(attempt, response.headers, answered_at)
        stream = made_for(self._module, AsyncGatedStream, "AsyncByteStream")(self._module, response, tee, attempt)
        if screens_answers():
            return await self._kept_back(attempt, response, stream, tee)
        return passed_on(self._module, response, attempt, stream)

    async def _whole(self, attempt: Attempt, response: Any, answered_at: float) -> Any:
        try:
            body = await response.aread()
        except self._module.RequestError as error:
            attempt.fail(as_broken(self._module, error, attempt))
            raise
        answer = self._read(attempt, response, body, answered_at)
        if answer is not None and screens_answers():
            body = told_on(attempt, answer.body, body, await chain().after(*given_to(attempt, answer.body)), is_streamed=False)
        return self._passed_on(attempt, response, body, answer)

    async def _kept_back(self, attempt: Attempt, response: Any, stream: Any, tee: Tee) -> Any:
        async with contextlib.aclosing(stream):
            body = b"".join([piece async for piece in stream])
        if tee.failure is not None:
            raise tee.failure
        answer = tee.whole_body()
        body = told_on(attempt, answer, body, await chain().after(*given_to(attempt, answer)), is_streamed=True)
        return passed_on(self._module, response, attempt, body)


class AsyncGatedStream(Beside):
    """A stream that is read beside."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body as the network brings it, unpacked."""
        feed = self._tee.feed
        try:
            async for piece in self._response.aiter_bytes() if self._is_packed else self._response.aiter_raw():
                if passed := feed(piece):
                    yield passed
        except self._module.RequestError as error:
            self._broke(error)
            raise
        if passed := self._tee.finish():
            yield passed

    async def aclose(self) -> None:
        """The caller reads no more, or has read it all."""
        self._tee.leave()
        await self._response.aclose()
