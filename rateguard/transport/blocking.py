"""The transport of clients that wait: httpx's and httpx2's `Client`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

from rateguard.calls.entrance import entrance
from rateguard.engine.errors import NotSent
from rateguard.screening.chain import chain
from rateguard.transport.attempt import Attempt, ended
from rateguard.transport.doors import dialect_of, is_stream, passed_on, refused, wrong_thread
from rateguard.transport.libraries import as_broken, made_for
from rateguard.transport.prepare import Prepared, Who, prepare
from rateguard.transport.providers import authorized
from rateguard.transport.screening import given_to, screens_answers, told_on
from rateguard.transport.tee import Tee
from rateguard.transport.way import Beside, Way


class GatedTransport:
    """Sends through the client `through`. What is refused is an answer; what breaks is the library's own exception."""

    def __init__(self, who: Who, through: Any, module: Any) -> None:
        self._who = who
        self._through = through
        self._module = module

    def handle_request(self, request: Any) -> Any:
        """One call through the gate; a second one, where its deployment could not be reached and there is another."""
        module, path = self._module, request.url.path
        dialect = dialect_of(path, request.headers)
        try:
            check_thread()
            prepared: Prepared | None = prepare(dialect, dialect.asked(request.method, path, request.read()), self._who)
            while prepared is not None:
                response, prepared = _Way(module, self._through, request, self._who).taken(prepared)
        except Exception as error:
            if isinstance(error, module.RequestError):
                raise
            return refused(module, dialect, error)
        return response

    def close(self) -> None:
        """Close the connections."""
        self._through.close()


def check_thread() -> None:
    """Raises InvalidRequest on an event loop. In a notebook, where Django is told so, waiting is what everybody does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    if not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        raise wrong_thread()


class _Way(Way):
    """To a provider and back."""

    is_async = False

    def taken(self, prepared: Prepared) -> tuple[Any, Prepared | None]:
        """The answer; or the call without the deployment that could not be reached, to be made once more."""
        door = entrance()
        attempt = Attempt(prepared, door.enter_blocking(prepared.call_as(door.new_id()), self._who.patience_s), door)
        with ended(attempt):
            wire = authorized(attempt.provider, attempt.place.target, attempt.wire())
            try:
                response = self._sending(attempt, wire)
            except (self._module.RequestError, NotSent) as error:
                again = self._elsewhere(prepared, attempt, error)
                if again is None:
                    raise
                return None, again
            return self._answered(attempt, response, time.monotonic()), None

    def _answered(self, attempt: Attempt, response: Any, answered_at: float) -> Any:
        if not is_stream(attempt, response):
            with contextlib.closing(response):
                return self._whole(attempt, response, answered_at)
        tee = Tee(attempt, response.headers, answered_at)
        stream = made_for(self._module, GatedStream, "SyncByteStream")(self._module, response, tee, attempt)
        if screens_answers():
            return self._kept_back(attempt, response, stream, tee)
        return passed_on(self._module, response, attempt, stream)

    def _whole(self, attempt: Attempt, response: Any, answered_at: float) -> Any:
        try:
            body = response.read()
        except self._module.RequestError as error:
            attempt.fail(as_broken(self._module, error, attempt))
            raise
        answer = self._read(attempt, response, body, answered_at)
        if answer is not None and screens_answers():
            body = told_on(attempt, answer.body, body, chain().after_here(*given_to(attempt, answer.body)), is_streamed=False)
        return self._passed_on(attempt, response, body, answer)

    def _kept_back(self, attempt: Attempt, response: Any, stream: Any, tee: Tee) -> Any:
        with contextlib.closing(stream):
            body = b"".join(stream)
        if tee.failure is not None:
            raise tee.failure
        answer = tee.whole_body()
        body = told_on(attempt, answer, body, chain().after_here(*given_to(attempt, answer)), is_streamed=True)
        return passed_on(self._module, response, attempt, body)


class GatedStream(Beside):
    """A stream that is read beside."""

    def __iter__(self) -> Iterator[bytes]:
        """The body as the network brings it, unpacked."""
        feed = self._tee.feed
        try:
            for piece in self._response.iter_bytes() if self._is_packed else self._response.iter_raw():
                if passed := feed(piece):
                    yield passed
        except self._module.RequestError as error:
            self._broke(error)
            raise
        if passed := self._tee.finish():
            yield passed

    def close(self) -> None:
        """The caller reads no more, or has read it all."""
        self._tee.leave()
        self._response.close()
